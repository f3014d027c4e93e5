package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// live says that the process runs and answers.
func (s *Server) live(w http.ResponseWriter, r *http.Request) { page(w, http.StatusOK, "ok\n") }

// ready says whether requests can be served, with the reasons if not.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	reasons := s.opt.Ready()
	if len(reasons) == 0 {
		page(w, http.StatusOK, "ok\n")
		return
	}
	w.Header().Set("Retry-After", "1")
	page(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n")
}

func (s *Server) noPage(w http.ResponseWriter, r *http.Request) {
	page(w, http.StatusNotFound, "no such page\n")
}

func page(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the connection's end is the client's matter
}

const (
	adminPrefix   = "/_/admin/v1/"
	adminBytesMax = 1 << 20
	pprofMax      = 10 * time.Minute // a CPU profile takes as long as it was asked to
)

// admin serves the admin API: JSON in, JSON out, for root only.
func (s *Server) admin(w http.ResponseWriter, hr *http.Request) {
	r := s.ownRequest(w, hr)
	answer, err := r.admin()
	if err == nil {
		writeJSON(w, http.StatusOK, answer)
		return
	}
	status, text := http.StatusInternalServerError, err.Error()
	api, isAPI := errors.AsType[*apiError](err)
	switch {
	case errors.Is(err, ErrNoSuchCall):
		status = http.StatusNotFound
	case errors.Is(err, ErrBadCall):
		status = http.StatusBadRequest
	case errors.Is(err, ErrConflict):
		status = http.StatusConflict
	case isAPI:
		status, text = api.status, api.Error()
	}
	writeJSON(w, status, map[string]string{"error": text})
}

// ownRequest is a request to a page of our own, which goes through none of S3's steps by itself.
func (s *Server) ownRequest(w http.ResponseWriter, hr *http.Request) *request {
	r := &request{s: s, w: w, http: hr, ctx: hr.Context(), began: s.opt.Now(), host: s.clientHost(hr)}
	r.header.begin(w.Header())
	r.limitBody()
	return r
}

// authenticateAdmin lets in the root of the account that the cluster began with, and nobody else.
func (r *request) authenticateAdmin() error {
	if err := r.authenticate(); err != nil {
		return err
	}
	if !r.caller.Root || r.caller.Account != r.s.account("").ID {
		return errAccessDenied
	}
	return nil
}

func (r *request) admin() (any, error) {
	if err := r.authenticateAdmin(); err != nil {
		return nil, toAPI(err)
	}
	if r.s.opt.Admin == nil {
		return nil, errNotImplemented
	}
	if m := r.http.Method; m != http.MethodGet && m != http.MethodPost {
		return nil, errMethodNotAllowed
	}
	var err error
	if r.query, err = parseQuery(nil, r.http.URL.RawQuery); err != nil {
		return nil, err
	}
	call := AdminCall{Method: r.http.Method, Path: strings.TrimPrefix(r.http.URL.Path, adminPrefix), Query: map[string]string{}}
	for _, p := range r.query {
		if _, seen := call.Query[p.name]; !seen {
			call.Query[p.name] = p.value
		}
	}
	if r.auth.DecodedBytes > 0 {
		body, err := r.readDocument(adminBytesMax, digestOptional)
		if err != nil {
			return nil, toAPI(err)
		}
		call.Body = body
	}
	return r.s.opt.Admin.Admin(r.ctx, call)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	if v == nil {
		v = struct{}{}
	}
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the connection's end is the client's matter
}

// pprof serves profiles to root.
func (s *Server) pprof(w http.ResponseWriter, hr *http.Request) {
	r := s.ownRequest(w, hr)
	if err := r.authenticateAdmin(); err != nil {
		page(w, toAPI(err).status, toAPI(err).Error()+"\n")
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(r.began.Add(pprofMax))
	s.opt.Pprof.ServeHTTP(w, hr)
}
