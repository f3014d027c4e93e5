package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/sherd-io/sherd/gateway/cors"
	"github.com/sherd-io/sherd/gateway/policy"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/placement"
)

// configBytesMax is the longest document of a bucket's configuration. Source: PutBucketCors, 64 KB; the others' are shorter.
const configBytesMax = 64 << 10

// setConfig keeps a document with the bucket; nil removes it.
func (r *request) setConfig(kind string, doc any) error {
	var raw json.RawMessage
	if doc != nil {
		var err error
		if raw, err = json.Marshal(doc); err != nil {
			return err
		}
	}
	if err := r.s.opt.Buckets.SetBucketConfig(r.ctx, r.bucket, kind, raw); err != nil {
		return r.goneOr(controlError(err))
	}
	return nil
}

// config reads a document of the bucket into v; ok is false if it has none.
func (r *request) config(kind string, v any) (ok bool, err error) {
	raw := r.bucket.Config[kind]
	if raw == nil {
		return false, nil
	}
	return true, json.Unmarshal(raw, v)
}

// mustConfig is config of a document whose absence is an error.
func (r *request) mustConfig(kind string, v any, absent *apiError) error {
	ok, err := r.config(kind, v)
	if err == nil && !ok {
		return absent.with(r.bucketName())
	}
	return err
}

// readConfig reads the request's document.
func readConfig[T any](r *request, parse func(io.Reader) (T, error)) (v T, err error) {
	doc, err := r.readDocument(configBytesMax, digestOptional)
	if err != nil {
		return v, err
	}
	if len(doc) == 0 {
		return v, errMissingBody
	}
	return readXML(doc, parse)
}

// removeConfig serves the Delete operations of documents: absent is removed already.
func (r *request) removeConfig(kind string) error {
	if r.bucket.Config[kind] != nil {
		if err := r.setConfig(kind, nil); err != nil {
			return err
		}
	}
	return r.sendEmpty(http.StatusNoContent)
}

// getBucketTagging serves GetBucketTagging (S3 API reference).
func (r *request) getBucketTagging() error {
	var tags []s3xml.Tag
	if err := r.mustConfig(configTags, &tags, newError(404, "NoSuchTagSet", "The TagSet does not exist")); err != nil {
		return err
	}
	return r.sendXML(http.StatusOK, s3xml.AppendTagging(nil, tags))
}

// putBucketTagging serves PutBucketTagging (S3 API reference).
func (r *request) putBucketTagging() error {
	tags, err := readConfig(r, func(doc io.Reader) ([]s3xml.Tag, error) { return s3xml.ReadTagging(doc, s3xml.BucketTagsMax) })
	r.giveTags(tags)
	if err != nil {
		return r.toPermitted(bucketTagError(err))
	}
	if err := r.authorize(r.op.action, r.subject()); err != nil {
		return err
	}
	if err := r.setConfig(configTags, tags); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusNoContent)
}

// bucketTagError is err, but for the number of tags: a bucket may have more than an object, and S3 says so in other words.
func bucketTagError(err error) error {
	if errors.Is(err, s3xml.ErrTagCount) {
		return newError(400, "BadRequest", "Bucket tag count cannot be greater than "+itoa(s3xml.BucketTagsMax))
	}
	return err
}

// deleteBucketTagging serves DeleteBucketTagging (S3 API reference).
func (r *request) deleteBucketTagging() error { return r.removeConfig(configTags) }

func (r *request) bucketName() s3xml.Extra { return s3xml.Extra{Name: "BucketName", Value: r.name} }

// getBucketPolicy serves GetBucketPolicy (S3 API reference): the document as it was given.
func (r *request) getBucketPolicy() error {
	var document string
	if err := r.mustConfig(configPolicy, &document, errNoBucketPolicy); err != nil {
		return err
	}
	return r.sendDocument(http.StatusOK, "application/json", []byte(document))
}

// putBucketPolicy serves PutBucketPolicy (S3 API reference).
func (r *request) putBucketPolicy() error {
	doc, err := r.readDocument(configBytesMax, digestOptional)
	if err != nil {
		return err
	}
	document := string(doc)
	p, err := policy.ParseBucket(document, r.name)
	if err == nil {
		err = p.CheckPrincipals(func(kind, name string) bool {
			return r.s.inMap(r.ctx, func(m *placement.Map) bool { return knownPrincipal(m, kind, name) })
		})
	}
	if bad, ok := errors.AsType[*policy.Error](err); ok {
		return newError(400, "MalformedPolicy", bad.Message)
	}
	if err != nil {
		return err
	}
	docs, err := r.s.documents.get(r.bucket)
	switch {
	case err != nil:
		return err // whether public policies are blocked is not known
	case docs.public.BlockPublicPolicy && p.Public():
		return errAccessDenied.say("The bucket's BlockPublicPolicy setting prevents public bucket policies.")
	}
	if err := r.setConfig(configPolicy, document); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusNoContent)
}

// deleteBucketPolicy serves DeleteBucketPolicy (S3 API reference).
func (r *request) deleteBucketPolicy() error { return r.removeConfig(configPolicy) }

// getBucketPolicyStatus serves GetBucketPolicyStatus (S3 API reference).
func (r *request) getBucketPolicyStatus() error {
	docs, err := r.s.documents.get(r.bucket)
	switch {
	case err != nil:
		return err
	case docs.policy == nil:
		return errNoBucketPolicy.with(r.bucketName())
	}
	return r.sendXML(http.StatusOK, s3xml.AppendPolicyStatus(nil, docs.policy.Public()))
}

// getPublicAccessBlock serves GetPublicAccessBlock (S3 API reference).
func (r *request) getPublicAccessBlock() error {
	var block s3xml.PublicAccessBlock
	if err := r.mustConfig(configPublicAccess, &block, newError(404, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")); err != nil {
		return err
	}
	return r.sendXML(http.StatusOK, block.Append(nil))
}

// putPublicAccessBlock serves PutPublicAccessBlock (S3 API reference).
func (r *request) putPublicAccessBlock() error {
	block, err := readConfig(r, s3xml.ReadPublicAccessBlock)
	if err != nil {
		return err
	}
	if err := r.setConfig(configPublicAccess, block); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// deletePublicAccessBlock serves DeletePublicAccessBlock (S3 API reference).
func (r *request) deletePublicAccessBlock() error { return r.removeConfig(configPublicAccess) }

// getBucketCors serves GetBucketCors (S3 API reference).
func (r *request) getBucketCors() error {
	var c cors.Config
	if err := r.mustConfig(configCORS, &c, newError(404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")); err != nil {
		return err
	}
	rules := make([]s3xml.CORSRule, len(c.Rules))
	for i := range c.Rules {
		rules[i] = s3xml.CORSRule(c.Rules[i])
	}
	return r.sendXML(http.StatusOK, s3xml.AppendCORS(nil, rules))
}

// putBucketCors serves PutBucketCors (S3 API reference).
func (r *request) putBucketCors() error {
	rules, err := readConfig(r, s3xml.ReadCORS)
	if err != nil {
		return err
	}
	c := cors.Config{Rules: make([]cors.Rule, len(rules))}
	for i := range rules {
		c.Rules[i] = cors.Rule(rules[i])
	}
	if err := c.Validate(); err != nil {
		return err
	}
	if err := r.setConfig(configCORS, &c); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// deleteBucketCors serves DeleteBucketCors (S3 API reference).
func (r *request) deleteBucketCors() error { return r.removeConfig(configCORS) }

// getRequestPayment serves GetBucketRequestPayment (S3 API reference).
func (r *request) getRequestPayment() error {
	payer := "BucketOwner"
	if _, err := r.config(configPayer, &payer); err != nil {
		return err
	}
	return r.sendXML(http.StatusOK, s3xml.AppendRequestPayment(nil, payer))
}

// putRequestPayment serves PutBucketRequestPayment (S3 API reference). Nobody pays here: it is kept and shown.
func (r *request) putRequestPayment() error {
	payer, err := readConfig(r, s3xml.ReadRequestPayment)
	if err != nil {
		return err
	}
	if err := r.setConfig(configPayer, payer); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// getAcceleration serves GetBucketAccelerateConfiguration (S3 API reference).
func (r *request) getAcceleration() error {
	var status string
	if _, err := r.config(configAcceleration, &status); err != nil {
		return err
	}
	return r.sendXML(http.StatusOK, s3xml.AppendAccelerate(nil, status))
}

// putAcceleration serves PutBucketAccelerateConfiguration (S3 API reference). It is kept and shown: there is no slower way.
func (r *request) putAcceleration() error {
	status, err := readConfig(r, s3xml.ReadAccelerate)
	if err != nil {
		return err
	}
	if strings.Contains(r.name, ".") {
		return errInvalidRequest.say("S3 Transfer Acceleration is not supported for buckets with periods (.) in their names")
	}
	if err := r.setConfig(configAcceleration, status); err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// getBucketLogging serves GetBucketLogging (S3 API reference): there are no access logs of buckets.
func (r *request) getBucketLogging() error {
	return r.sendXML(http.StatusOK, new(s3xml.Logging).Append(nil))
}

// putBucketLogging serves PutBucketLogging (S3 API reference) where it turns logging off.
func (r *request) putBucketLogging() error {
	l, err := readConfig(r, s3xml.ReadLogging)
	if err != nil {
		return err
	}
	if l.Enabled {
		return errNotImplemented.say("There are no access logs of buckets.")
	}
	return r.sendEmpty(http.StatusOK)
}

// getNotification serves GetBucketNotificationConfiguration (S3 API reference): there is none.
func (r *request) getNotification() error {
	return r.sendXML(http.StatusOK, s3xml.AppendNoNotification(nil))
}

// putNotification serves PutBucketNotificationConfiguration (S3 API reference) where it asks for none: Terraform and others take theirs away so.
func (r *request) putNotification() error {
	some, err := readConfig(r, s3xml.ReadNotification)
	if err != nil {
		return err
	}
	if some {
		return errNotImplemented.say("There are no notifications of events.")
	}
	return r.sendEmpty(http.StatusOK)
}

// getABAC serves GetBucketAbac (S3 API reference): it is off.
func (r *request) getABAC() error { return r.sendXML(http.StatusOK, s3xml.ABAC(false).Append(nil)) }

// putABAC serves PutBucketAbac (S3 API reference) where it turns it off.
func (r *request) putABAC() error {
	on, err := readConfig(r, s3xml.ReadABAC)
	if err != nil {
		return err
	}
	if on {
		return errNotImplemented.say("Policies cannot ask for a bucket's tags.")
	}
	return r.sendEmpty(http.StatusOK)
}

// absent serves a Get of a configuration that no bucket has.
func absent(code, message string) func(*request) error {
	return func(r *request) error { return newError(404, code, message).with(r.bucketName()) }
}

// deleteNone serves a Delete of a configuration that no bucket has: S3 answers the same whether there was one or not.
func (r *request) deleteNone() error { return r.sendEmpty(http.StatusNoContent) }
