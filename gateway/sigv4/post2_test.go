package sigv4

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestVersion2PostOfTheUserGuide checks a policy and its signature, and what is changed in them. Source: S3 user guide,
// "Browser-based uploads using POST", "Upload a file"; the secret is that of the guide's first edition, whose signature
// the later ones kept.
func TestVersion2PostOfTheUserGuide(t *testing.T) {
	policy, err := os.ReadFile("testdata/aws/post-policy2.base64")
	if err != nil {
		t.Fatal(err)
	}
	form := func() map[string]string {
		return map[string]string{
			"awsaccesskeyid": "AKIAIOSFODNN7EXAMPLE", "policy": strings.TrimSpace(string(policy)), "signature": "0RavWzkygo6QX9caELEqKi9kDbU=",
			"x-amz-security-token": "token", "key": "user/eric/MyPicture.jpg",
		}
	}
	v := &Verifier{Credentials: func(key string) (string, any, bool) {
		return "uV3F3YluFJax1cknvbcGwgjvx4QpvB+leU8dUj2o", "eric", key == "AKIAIOSFODNN7EXAMPLE"
	}}
	a, err := v.VerifyPost(form())
	if err != nil {
		t.Fatal(err)
	}
	if a.Anonymous || a.Kind != KindPost || !a.Version2 || a.AccessKey != "AKIAIOSFODNN7EXAMPLE" || a.Identity != "eric" || a.SessionToken != "token" {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct {
		field, value string
		want         Code
	}{
		{"policy", "e30=", SignatureDoesNotMatch}, {"policy", "", InvalidArgument},
		{"signature", "0RavWzkygo6QX9caELEqKi9kDbV=", SignatureDoesNotMatch}, {"signature", "", InvalidArgument},
		{"awsaccesskeyid", "AKIAOTHER", InvalidAccessKeyID}, {"awsaccesskeyid", "", InvalidArgument},
	} {
		f := form()
		f[c.field] = c.value
		if a, err := v.VerifyPost(f); !errors.Is(err, c.want) || a.AccessKey != "" {
			t.Errorf("%s=%q: %v, want %s", c.field, c.value, err, c.want)
		}
	}
}
