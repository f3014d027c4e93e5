package heal

import (
	"context"
	"time"
)

// busyShare is what part of one worker's time, one in so many, all workers together use while requests are being served: what a request
// meets of healing is then one stripe at a time, and seldom.
const busyShare = 4

// rest sleeps after a stripe that took so long, if requests are being served: as long as leaves the workers their share of the time.
func (h *Healer) rest(ctx context.Context, took time.Duration) error {
	if !h.opt.Busy() {
		return ctx.Err()
	}
	return sleep(ctx, took*time.Duration(busyShare*h.opt.Workers-1))
}

// paceHealing holds repair and rebuild to Options.HealBytes or, without it, back while requests are being served.
func (h *Healer) paceHealing(ctx context.Context, bytes int64, took time.Duration) error {
	if h.opt.HealBytes > 0 {
		return h.pace.wait(ctx, bytes)
	}
	return h.rest(ctx, took)
}

// paceScrub holds a scrub to Options.ScrubBytes, and back while requests are being served.
func (h *Healer) paceScrub(ctx context.Context, bytes int64, took time.Duration) error {
	if err := h.scrub.pace.wait(ctx, bytes); err != nil {
		return err
	}
	return h.rest(ctx, took)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
