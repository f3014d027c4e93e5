package iam

import "github.com/sherd-io/sherd/placement"

func (c *call) change(ch placement.IAMChange) { c.changes = append(c.changes, ch) }

func (c *call) putAccount(a *placement.Account) { c.change(placement.IAMChange{Account: a}) }
func (c *call) dropAccount(a *placement.Account) {
	c.change(placement.IAMChange{Account: a, Delete: true})
}
func (c *call) putUser(u *placement.User)     { c.change(placement.IAMChange{User: u}) }
func (c *call) dropUser(u *placement.User)    { c.change(placement.IAMChange{User: u, Delete: true}) }
func (c *call) putGroup(g *placement.Group)   { c.change(placement.IAMChange{Group: g}) }
func (c *call) dropGroup(g *placement.Group)  { c.change(placement.IAMChange{Group: g, Delete: true}) }
func (c *call) putPolicy(p *placement.Policy) { c.change(placement.IAMChange{Policy: p}) }
func (c *call) dropPolicy(p *placement.Policy) {
	c.change(placement.IAMChange{Policy: p, Delete: true})
}
func (c *call) putKey(k *placement.Identity) { c.change(placement.IAMChange{Identity: k}) }
func (c *call) dropKey(k *placement.Identity) {
	c.change(placement.IAMChange{Identity: k, Delete: true})
}
