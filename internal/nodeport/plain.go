package nodeport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sherd-io/sherd/internal/trust"
)

// A plain connection begins with one line: who connects, to whom, and what for.
//
//	sherd-plain/1 FROM TO PROTOCOL\n
//
// FROM is "-" for one who joins. There is no answer: what is not right is closed.
const (
	plainMagic   = "sherd-plain/1"
	plainLineMax = 256
)

var errPlain = errors.New("nodeport: no introduction")

func (p *Port) introducePlain(ctx context.Context, nc net.Conn, node string, protocol Protocol) (*Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetWriteDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := fmt.Fprintf(nc, "%s %s %s %s\n", plainMagic, p.opt.Self, node, protocol); err != nil {
		return nil, err
	}
	return &Conn{Conn: nc, Node: node}, nc.SetWriteDeadline(time.Time{})
}

func (p *Port) acceptPlain(ctx context.Context, nc net.Conn) (*Conn, Protocol, error) {
	deadline, _ := ctx.Deadline()
	if err := nc.SetReadDeadline(deadline); err != nil {
		return nil, "", err
	}
	line, err := ReadLine(nc, plainLineMax)
	if err != nil {
		return nil, "", err
	}
	from, protocol, err := p.parsePlain(line)
	if err != nil {
		return nil, "", err
	}
	return &Conn{Conn: nc, Node: from}, protocol, nc.SetReadDeadline(time.Time{})
}

func (p *Port) parsePlain(line string) (from string, protocol Protocol, err error) {
	fields := strings.Split(line, " ")
	if len(fields) != 4 || fields[0] != plainMagic || !isKnown(Protocol(fields[3])) {
		return "", "", errPlain
	}
	from, to, protocol := fields[1], fields[2], Protocol(fields[3])
	switch {
	case protocol == Join:
		return "", protocol, nil
	case to != p.opt.Self:
		return "", "", fmt.Errorf("%w: it means node %q, and this is %q", trust.ErrPeer, to, p.opt.Self)
	case !p.opt.Member(from):
		return "", "", fmt.Errorf("%w: the map has no node %q", trust.ErrPeer, from)
	}
	return from, protocol, nil
}

// errLine reports a line that is too long.
var errLine = errors.New("nodeport: the line is too long")

// ReadLine reads up to a newline, which must come within most bytes, and nothing behind it.
func ReadLine(nc net.Conn, most int) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < most; {
		if _, err := nc.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", errLine
}
