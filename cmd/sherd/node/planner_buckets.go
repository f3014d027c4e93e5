package node

import "context"

// recoverBuckets has deletions of buckets taken back that ended with their gateway's process (I20): it waits for those that are
// under way, each for its end or for the end of its process's lease.
func (p *planner) recoverBuckets(ctx context.Context) error {
	deleting := false
	for _, b := range p.n.store.Map().Buckets {
		deleting = deleting || b.Deleting
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !deleting || p.buckets || p.n.gateway == nil {
		return nil
	}
	p.buckets = true
	p.joins.Go(func() {
		if err := p.n.gateway.RecoverBuckets(ctx); err != nil && ctx.Err() == nil {
			p.n.log.Warn("a bucket's deletion that was cut short is taken back later", "err", err)
		}
		p.mu.Lock()
		p.buckets = false
		p.mu.Unlock()
	})
	return nil
}
