package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/sherd-io/sherd/gateway/iam"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// Records is what the gateway needs of the object records besides object.Records. meta.Node provides it.
type Records interface {
	List(ctx context.Context, req meta.ListRequest, buf []byte) (meta.ListPage, error)
	ListVersions(ctx context.Context, req meta.ListVersionsRequest, buf []byte) (meta.ListVersionsPage, error)
	ListUploads(ctx context.Context, req meta.ListUploadsRequest) (meta.ListUploadsPage, error)
	Counters(ctx context.Context, bucket ids.Bucket) (*metapb.Counters, error)
	// Seal stops, or with off starts again, what adds data to a bucket, in all its ranges (I20).
	Seal(ctx context.Context, bucket ids.Bucket, off bool) error
}

// Buckets is what the gateway needs of the map. placement/store provides it.
type Buckets interface {
	Map() *placement.Map
	// Sync returns when Map is at least as new as the control store was at the call.
	Sync(ctx context.Context) error
	// CreateBucket makes a bucket of want's Name, Owner, Region, Pool, Versioning, Lock and Config, or returns the one of that name:
	// created is false if it was there.
	CreateBucket(ctx context.Context, want placement.Bucket) (b *placement.Bucket, created bool, err error)
	// SetDeleting and DeleteBucket are of b as its id names it: not of a bucket made since under its name. Each mark is
	// another, and the bucket is removed by the last one only.
	SetDeleting(ctx context.Context, b *placement.Bucket, deleting bool) (mark uint64, err error)
	DeleteBucket(ctx context.Context, b *placement.Bucket, mark uint64) error
	// SetBucketConfig puts a document of a kind in the place of the one that a bucket has; nil removes it.
	SetBucketConfig(ctx context.Context, b *placement.Bucket, kind string, doc json.RawMessage) error
	// ReviseBucket changes Versioning or Lock of a bucket, and raises Rules: in force when the ranges have them (I11). Errors of change
	// come back as they are.
	ReviseBucket(ctx context.Context, b *placement.Bucket, change func(*placement.Bucket) error) error
	// LockBucket waits until no other process deletes the bucket or takes its deletion back; unlock must be called.
	LockBucket(ctx context.Context, id ids.Bucket) (unlock func(), err error)
}

// AdminCall is one call of the admin API.
type AdminCall struct {
	Method string            // GET or POST
	Path   string            // what follows /_/admin/v1/: "status", "heal/pause"
	Query  map[string]string // first values
	Body   json.RawMessage   // at most 1 MiB; nil if there was none
}

// Admin answers the admin API's calls, which only root may make. cmd/sherd provides it.
//
// Errors: ErrNoSuchCall is answered with 404, ErrBadCall with 400, ErrConflict with 409, others with 500;
// their text is shown.
type Admin interface {
	// Admin answers with a value that is sent as JSON; nil is an empty object.
	Admin(ctx context.Context, call AdminCall) (any, error)
}

// Errors of Admin.
var (
	ErrNoSuchCall = errors.New("no such admin call")
	ErrBadCall    = errors.New("bad admin call")
	ErrConflict   = errors.New("conflict")
)

// Identity is whose access key a request is signed with, as Options.Credentials gives it.
type Identity struct {
	Account string // its id; "": the account that the cluster began with
	User    string // "": the account's root
}

// Options configures New. A zero field means the default given here.
type Options struct {
	Objects *object.Store // required
	Records Records       // required
	Buckets Buckets       // required
	Admin   Admin         // none: 501
	IAM     iam.Records   // of accounts, users, groups and policies; none: they cannot be changed here

	// Credentials finds an access key's secret and who it is. The secret is empty if it cannot be had at the moment. By default they are the map's identities.
	Credentials func(accessKey string) (secret string, id Identity, ok bool)
	// Ready gives the reasons why requests cannot be served properly; none means ready. Default: always ready.
	Ready func() []string
	// Versions reports whether all nodes know versions of objects, locks, and changes of a version in place: what needs them is answered
	// with 503 until then. Default: they do.
	Versions func() bool

	Region         string         // "us-east-1": of buckets that are made without one
	Ownership      string         // "BucketOwnerEnforced": the object ownership of buckets that are made without one
	Domains        []string       // bucket.DOMAIN is virtual-host style
	TrustedProxies []netip.Prefix // whose X-Forwarded-Host and -For count
	Pool           ids.Pool       // of new buckets; default: the least that the map has
	Version        string         // in the Server header after "sherd"
	Pprof          http.Handler   // served to root under /_/debug/pprof/; none: 404

	Connections int           // how many clients may have; for one more the one that is idle for longest is closed. 0: any number
	Requests    int           // 256: how many requests of 4 MiB are served at once; smaller ones weigh less
	AdmitWait   time.Duration // 5s: how long a request waits for its turn before 503
	IdleTimeout time.Duration // 60s: a request or answer that makes no progress for so long is ended
	HeaderBytes int           // 16 KiB; S3 takes 8 KiB
	Staleness   time.Duration // 1h: identities are not trusted when ControlAge is more (I11)
	ControlAge  func() time.Duration
	MaxSkew     time.Duration // 15 min: see sigv4.Verifier
	Now         func() time.Time
	Logger      *slog.Logger // discards
}

func (o *Options) validate() error {
	if o.Objects == nil || o.Records == nil || o.Buckets == nil {
		return errors.New("gateway: Objects, Records and Buckets are required")
	}
	if err := CheckOwnership(o.Ownership); err != nil {
		return err
	}
	setDefault(&o.Region, "us-east-1")
	setDefault(&o.Ownership, ownerEnforced)
	setDefault(&o.Requests, 256)
	setDefault(&o.AdmitWait, 5*time.Second)
	setDefault(&o.IdleTimeout, time.Minute)
	setDefault(&o.HeaderBytes, 16<<10)
	setDefault(&o.Staleness, time.Hour)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = func() []string { return nil }
	}
	if o.Versions == nil {
		o.Versions = func() bool { return true }
	}
	if o.ControlAge == nil {
		o.ControlAge = func() time.Duration { return 0 }
	}
	if o.Credentials == nil {
		o.Credentials = o.fromMap
	}
	for i, d := range o.Domains {
		o.Domains[i] = strings.ToLower(strings.Trim(d, "."))
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) fromMap(accessKey string) (string, Identity, bool) {
	m := o.Buckets.Map()
	if m == nil {
		return "", Identity{}, false
	}
	id := m.Identities[accessKey]
	if id == nil {
		return "", Identity{}, false
	}
	if account, user, ok := m.Holder(id); ok {
		who := Identity{Account: account.ID}
		if user != nil {
			who.User = user.Name
		}
		return id.Secret, who, true
	}
	return "", Identity{}, false
}

// Server serves S3 and the admin API. It is an http.Handler.
type Server struct {
	opt      Options
	verifier *sigv4.Verifier
	router   *mux.Router // of paths under /_/
	ops      *opTable
	admit    *admission
	metrics  *metrics
	requests sync.Pool // *request
	buffers  sync.Pool // *[]byte: documents
	ids      idSource
	deleting deletions

	iam       *iam.Service // nil: see Options.IAM
	callers   callers
	documents documentCache
	server    string // the Server header
}

// New returns a server. It starts no goroutine.
func New(opt Options) (*Server, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	s := &Server{opt: opt, ops: newOpTable(operations), server: "sherd"}
	if opt.Version != "" {
		s.server += "/" + opt.Version
	}
	s.documents.gone = s.gone
	s.verifier = &sigv4.Verifier{
		Credentials: func(accessKey string) (string, any, bool) {
			secret, id, ok := opt.Credentials(accessKey)
			return secret, id, ok
		},
		Now:        opt.Now,
		MaxSkew:    opt.MaxSkew,
		HostBucket: s.bucketOfHost,
	}
	if opt.IAM != nil {
		var err error
		if s.iam, err = iam.New(iam.Options{Records: opt.IAM, Authorize: s.mayIAM, Now: opt.Now, Logger: opt.Logger}); err != nil {
			return nil, err
		}
	}
	s.admit = newAdmission(int64(opt.Requests)*requestBytes, opt.AdmitWait)
	s.metrics = newMetrics(s)
	s.ids.init()
	s.router = s.routes()
	return s, nil
}

// Close gives back what the server holds. The HTTP server in front must have ended.
func (s *Server) Close() { s.opt.Objects.Close() }

// headTimeout is how long a request's head may take.
const headTimeout = 10 * time.Second

// HTTPServer returns a server with this one as its handler and with its limits. The caller listens, and may
// change TLSConfig and BaseContext.
func (s *Server) HTTPServer() *http.Server {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: min(headTimeout, s.opt.IdleTimeout),
		WriteTimeout:      2 * s.opt.IdleTimeout, // from the header on; a handler moves it forward
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    s.opt.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.opt.Logger.Handler(), slog.LevelDebug),
	}
	if s.opt.Connections > 0 {
		server.ConnState = newConnections(s.opt.Connections, s.opt.Logger).changed
	}
	return server
}

// routes are the pages of our own. S3's paths do not come here: matching and its copy of the request cost
// more than the table in ops.go, and a key must not be cleaned or redirected.
func (s *Server) routes() *mux.Router {
	r := mux.NewRouter().SkipClean(true).UseEncodedPath()
	r.HandleFunc("/_/live", s.live)
	r.HandleFunc("/_/ready", s.ready)
	r.Handle("/_/metrics", s.metrics.handler())
	r.PathPrefix(adminPrefix).HandlerFunc(s.admin)
	if s.opt.Pprof != nil {
		r.PathPrefix("/_/debug/pprof/").HandlerFunc(s.pprof)
	}
	r.NotFoundHandler = http.HandlerFunc(s.noPage)
	return r
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_/") && !s.isBucketHost(r) {
		s.router.ServeHTTP(w, r)
		return
	}
	continueEmpty(w, r)
	s.serveS3(w, r)
}
