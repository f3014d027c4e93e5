package gateway

import "net/http"

// Operation is a row of the table of operations as others see it: the conformance suite and docs/s3-compatibility.md.
type Operation struct {
	Name   string // as the S3 API reference spells it; PostObject and PreflightRequest are HTTP's own forms of one
	Method string
	Scope  string // "service", "bucket" or "object"
	Sub    string // the query parameter that selects it, or ""
	Sub2   string // a second one that must be there too, or ""
	Header string // a request header that selects it, canonical, or ""
	Action string // IAM's name for the permission, or ""
	Note   string // what is special about it here, for people
	Served bool   // false: 501 NotImplemented
}

// Operations is the router's table, in its order. An operation that is about buckets and about objects, as
// PreflightRequest, has a row for each.
func Operations() []Operation {
	all := make([]Operation, len(operations))
	for i := range operations {
		all[i] = operations[i].seen()
	}
	return all
}

// OperationOf is the row that the router takes for r, whose path is /bucket/key. There is none for a method that fits
// nothing, nor for a path or a query that cannot be read.
func OperationOf(r *http.Request) (Operation, bool) {
	probe := request{s: new(Server), http: r}
	if probe.target() != nil {
		return Operation{}, false
	}
	var err error
	if probe.query, err = parseQuery(nil, r.URL.RawQuery); err != nil {
		return Operation{}, false
	}
	o := newOpTable(operations).find(&probe)
	if o == nil {
		return Operation{}, false
	}
	return o.seen(), true
}

func (o *op) seen() Operation {
	return Operation{
		Name: o.name, Method: o.method, Scope: [...]string{"service", "bucket", "object"}[o.scope],
		Sub: o.sub, Sub2: o.sub2, Header: o.header, Action: o.action, Note: o.note, Served: o.handle != nil,
	}
}
