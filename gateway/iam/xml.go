package iam

import (
	"bytes"
	"encoding/xml"
	"time"
)

const prolog = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// members is a list. It is written as AWS does, also when it is empty: clients expect the element.
type members[T any] struct {
	Member []T `xml:"member"`
}

// moment is a time as AWS writes it: in UTC, in whole seconds. One that was never noted is the beginning of 1970: clients expect a
// time, and not all can read the year 1.
type moment struct{ time.Time }

// MarshalText implements encoding.TextMarshaler.
func (m moment) MarshalText() ([]byte, error) {
	if m.IsZero() {
		m.Time = time.Unix(0, 0)
	}
	return m.UTC().AppendFormat(nil, "2006-01-02T15:04:05Z"), nil
}

type metadata struct {
	RequestID string `xml:"RequestId"`
}

// answerXML is the document of an operation's success.
type answerXML struct {
	XMLName  xml.Name
	Result   any      // nil: the operation has none; else a *resultXML
	Metadata metadata `xml:"ResponseMetadata"`
}

// resultXML is an operation's result under the name that the operation gives it.
type resultXML struct {
	name  string
	value any
}

// MarshalXML implements xml.Marshaler.
func (r *resultXML) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(r.value, xml.StartElement{Name: xml.Name{Local: r.name}})
}

type errorXML struct {
	XMLName xml.Name
	Error   struct {
		Type    string
		Code    Code
		Message string
	}
	RequestID string `xml:"RequestId"`
}

// encodeAnswer is the document that answers op.
func encodeAnswer(op *operation, result any, requestID string) ([]byte, error) {
	doc := answerXML{XMLName: xml.Name{Space: op.api.namespace(), Local: op.name + "Response"}, Metadata: metadata{requestID}}
	if result != nil {
		doc.Result = &resultXML{op.name + "Result", result}
	}
	return encode(&doc)
}

// encodeError is the document of an error.
func encodeError(err *Error, of api, requestID string) []byte {
	doc := errorXML{XMLName: xml.Name{Space: of.namespace(), Local: "ErrorResponse"}, RequestID: requestID}
	doc.Error.Type, doc.Error.Code, doc.Error.Message = err.fault(), err.Code, err.Message
	body, encodeErr := encode(&doc)
	if encodeErr != nil {
		panic("iam: an error cannot be marshalled: " + encodeErr.Error()) // only for types that XML has no form for
	}
	return body
}

func encode(doc any) ([]byte, error) {
	b := bytes.NewBufferString(prolog)
	if err := xml.NewEncoder(b).Encode(doc); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
