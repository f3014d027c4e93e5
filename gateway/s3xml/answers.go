package s3xml

import "strings"

// BeginDeleted begins the answer of DeleteObjects; AppendDeleted and AppendDeleteError follow in any order,
// then EndDeleted.
func BeginDeleted(b []byte) []byte { return root(b, "DeleteResult") }

// Deleted is an entry of DeleteObjects' answer.
type Deleted struct {
	Key, VersionID        string // VersionID as the request named it
	DeleteMarker          bool   // a delete marker was made, or removed
	DeleteMarkerVersionID string
}

// AppendDeleted appends an entry that was deleted. In quiet mode there are none.
func AppendDeleted(b []byte, d *Deleted) []byte {
	b = opening(b, "Deleted")
	b = element(b, "Key", d.Key)
	b = optional(b, "VersionId", d.VersionID)
	if d.DeleteMarker {
		b = boolean(b, "DeleteMarker", true)
	}
	b = optional(b, "DeleteMarkerVersionId", d.DeleteMarkerVersionID)
	return closing(b, "Deleted")
}

// AppendDeleteError appends an entry that was not deleted.
func AppendDeleteError(b []byte, key, versionID, code, message string) []byte {
	b = opening(b, "Error")
	b = element(b, "Key", key)
	b = optional(b, "VersionId", versionID)
	b = element(b, "Code", code)
	b = element(b, "Message", message)
	return closing(b, "Error")
}

// EndDeleted ends the answer of DeleteObjects.
func EndDeleted(b []byte) []byte { return closing(b, "DeleteResult") }

// AppendLocation appends the answer of GetBucketLocation. us-east-1 is empty, as ever.
func AppendLocation(b []byte, region string) []byte {
	if region == "us-east-1" {
		region = ""
	}
	return closing(AppendText(root(b, "LocationConstraint"), region), "LocationConstraint")
}

// Posted is the answer of an upload by a form that asked for success_action_status 201.
type Posted struct {
	Location, Bucket, Key string
	ETag                  ETag
}

// Append appends the document, which has no namespace.
func (p *Posted) Append(b []byte) []byte {
	b = append(b, Prolog+"<PostResponse>"...)
	b = element(b, "Location", p.Location)
	b = element(b, "Bucket", p.Bucket)
	b = element(b, "Key", p.Key)
	b = appendETag(b, p.ETag)
	return closing(b, "PostResponse")
}

// Error is an error's document.
type Error struct {
	Code, Message     string
	Extra             []Extra // between Message and Resource
	Resource          string  // the path as requested
	RequestID, HostID string
}

// Extra is a further element, such as StringToSign. Name is a constant of the program.
type Extra struct{ Name, Value string }

// Append appends the document, which has no namespace.
func (e *Error) Append(b []byte) []byte {
	b = append(b, Prolog+"<Error>"...)
	b = element(b, "Code", e.Code)
	b = element(b, "Message", e.Message)
	for _, x := range e.Extra {
		b = opening(b, x.Name)
		for i, line := range strings.Split(x.Value, "\n") {
			if i > 0 {
				b = append(b, '\n') // as it is: a person compares canonical requests line by line
			}
			b = AppendText(b, line)
		}
		b = closing(b, x.Name)
	}
	b = optional(b, "Resource", e.Resource)
	b = element(b, "RequestId", e.RequestID)
	b = element(b, "HostId", e.HostID)
	return closing(b, "Error")
}
