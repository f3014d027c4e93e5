package iam

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// call is one request to an operation, in one state of the records.
type call struct {
	op     *operation
	form   form
	caller Caller
	now    time.Time // UTC, whole seconds
	dir    directory // of the caller's account

	changes []placement.IAMChange // that the operation makes
	again   bool                  // the operation is to run once more when these are made: it has more than one step may change
}

func (c *call) get(name string) string { return c.form.get(name) }

// or is a parameter, or what stands for it where it is absent.
func (c *call) or(name, absent string) string {
	if c.form.has(name) {
		return c.get(name)
	}
	return absent
}

func (c *call) callerARN() string {
	if c.caller.root() {
		return c.dir.arn("root", "", "")
	}
	return c.userARN(c.caller.User)
}

// userARN is the ARN of a user, who may not be there.
func (c *call) userARN(name string) string {
	if u := c.dir.m.User(c.dir.account, name); u != nil {
		return c.dir.userARN(u)
	}
	return c.dir.arn("user", "/", name)
}

// groupARN is the ARN of a group, which may not be there.
func (c *call) groupARN(name string) string {
	if g := c.dir.m.Group(c.dir.account, name); g != nil {
		return c.dir.groupARN(g)
	}
	return c.dir.arn("group", "/", name)
}

// subject is the name of the user that a call is about: UserName, or else the caller; "" is root.
func (c *call) subject() string { return c.or("UserName", c.caller.User) }

// Bounds of a page.
const (
	itemsDefault = 100
	itemsMax     = 1000
)

// page is the part of a list that is answered at once.
type page struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"` // where the next one begins
}

// paged cuts what a call asks for out of items, which are in the order of their keys; no two have the same.
func paged[T any](c *call, items []T, key func(T) string) ([]T, page, error) {
	count := itemsDefault
	if c.form.has("MaxItems") {
		count, _ = strconv.Atoi(c.get("MaxItems")) // maxItemsShape held
	}
	if c.form.has("Marker") {
		after, err := base64.RawURLEncoding.DecodeString(c.get("Marker"))
		if err != nil {
			return nil, page{}, fail(ValidationError, "Invalid Marker.")
		}
		first := 0
		for first < len(items) && key(items[first]) <= string(after) {
			first++
		}
		items = items[first:]
	}
	if len(items) <= count {
		return items, page{}, nil
	}
	items = items[:count]
	return items, page{true, base64.RawURLEncoding.EncodeToString([]byte(key(items[count-1])))}, nil
}
