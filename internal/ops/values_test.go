package ops

import "testing"

func TestCredentialsInURLsAreNotShown(t *testing.T) {
	for given, want := range map[string]string{
		"nats://ann:pass@a:4222,tls://token@b:4222": "nats://***@a:4222,tls://***@b:4222",
		"nats://127.0.0.1:4222":                     "nats://127.0.0.1:4222",
		"a@b":                                       "a@b",
	} {
		if got := show(given); got != want {
			t.Errorf("%s is shown as %v, want %s", given, got, want)
		}
	}
}
