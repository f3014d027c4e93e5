package sigv4

import "strings"

// VerifyPost checks the signature over the policy of a POST form. fields holds the form's fields by their
// names in lower case, each once. The policy itself, its expiry included, is the caller's to judge.
//
// Errors: *Error. A form with neither policy nor any field of a signature is anonymous.
// Source: sigv4-authentication-HTTPPOST; RESTObjectPOST; of version 2, S3 user guide, "Browser-based uploads using POST".
func (v *Verifier) VerifyPost(fields map[string]string) (Auth, error) {
	a := Auth{v: v, Kind: KindPost, ContentBytes: -1, DecodedBytes: -1}
	if anyField(fields, "awsaccesskeyid", "signature") {
		if err := v.verifyPost2(fields, &a); err != nil {
			return Auth{}, err
		}
		return a, nil
	}
	if !anyField(fields, "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature") {
		a.Kind, a.Anonymous = KindNone, true
		return a, nil
	}
	if err := needFields(fields, "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"); err != nil {
		return Auth{}, err
	}
	if fields["x-amz-algorithm"] != algorithm {
		return Auth{}, unsupported()
	}
	cred, ok := parseCredential(fields["x-amz-credential"])
	if !ok {
		return Auth{}, malformedPost("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	a.amzDate = fields["x-amz-date"]
	if a.Time, ok = parseTime(a.amzDate); !ok {
		return Auth{}, malformedPost("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\".")
	}
	if err := v.checkScope(&cred, &a, malformedPost); err != nil {
		return Auth{}, err
	}
	if err := v.checkPolicy(&cred, fields, &a); err != nil {
		return Auth{}, err
	}
	return a, nil
}

// checkPolicy compares the signature of the policy, which is the string to sign as it stands, in base64.
func (v *Verifier) checkPolicy(cred *credential, fields map[string]string, a *Auth) error {
	secret, identity, err := v.secret(cred.accessKey)
	if err != nil {
		return err
	}
	key, cached := v.keys.get(cred, secret)
	if !cached {
		key = deriveKey(secret, cred.date, cred.region, cred.service)
	}
	policy, signature := []byte(fields["policy"]), fields["x-amz-signature"]
	a.seed = mac(key[:], policy)
	if !sameHex(a.seed, signature) {
		return mismatch(cred.accessKey, signature, policy, nil)
	}
	if !cached {
		v.keys.put(cred, secret, key)
	}
	a.AccessKey, a.Identity, a.scope, a.key = cred.accessKey, identity, cred.scope, key
	a.SessionToken = fields["x-amz-security-token"]
	return nil
}

// verifyPost2 is VerifyPost for a policy that is signed by version 2.
func (v *Verifier) verifyPost2(fields map[string]string, a *Auth) error {
	if err := needFields(fields, "policy", "AWSAccessKeyId", "signature"); err != nil {
		return err
	}
	accessKey, policy := fields["awsaccesskeyid"], []byte(fields["policy"])
	secret, identity, err := v.secret(accessKey)
	if err != nil {
		return err
	}
	if !signed2(secret, policy, fields["signature"]) {
		return mismatch(accessKey, fields["signature"], policy, nil)
	}
	a.AccessKey, a.Identity, a.SessionToken, a.Version2 = accessKey, identity, fields["x-amz-security-token"], true
	return nil
}

// needFields wants the fields of a signature to be there all.
func needFields(fields map[string]string, names ...string) error {
	for _, name := range names {
		if fields[strings.ToLower(name)] == "" {
			return fail(InvalidArgument, "Bucket POST must contain a field named '"+name+"'.  If it is specified, please check the order of the fields.",
				Fact{"ArgumentName", name}, Fact{"ArgumentValue", ""})
		}
	}
	return nil
}

func anyField(fields map[string]string, names ...string) bool {
	for _, n := range names {
		if fields[n] != "" {
			return true
		}
	}
	return false
}

func malformedPost(what string, facts ...Fact) error {
	return fail(InvalidArgument, what, append([]Fact{{"ArgumentName", "x-amz-credential"}}, facts...)...)
}
