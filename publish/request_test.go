package publish

import (
	"errors"
	"testing"
)

func TestRefusalsOfJetStreamHaveTheirKinds(t *testing.T) {
	cases := []struct {
		code        int
		description string
		want        error
		retry       bool
	}{
		{10002, "resource limits exceeded for account", ErrResources, false},
		{10008, "JetStream system temporarily unavailable", ErrUnavailable, true},
		{10009, "JetStream cluster can not handle request", ErrUnavailable, true},
		{10023, "insufficient resources", ErrResources, false},
		{10028, "insufficient memory resources available", ErrResources, false},
		{10039, "JetStream not enabled for account", ErrUnavailable, false},
		{10047, "insufficient storage resources available", ErrResources, false},
		{10054, "message size exceeds maximum allowed", ErrTooLarge, false},
		{10060, "expected stream does not match", ErrRefused, false},
		{10076, "JetStream not enabled", ErrUnavailable, false},
		{10077, "maximum bytes exceeded", ErrStreamFull, false},
		{10077, "maximum messages exceeded", ErrStreamFull, false},
		{10077, "message too large", ErrTooLarge, false},
		{10077, "no space left on device", ErrResources, false},
		{10097, "header size exceeds maximum allowed of 64k", ErrTooLarge, false},
		{10109, "invalid operation on sealed stream", ErrRefused, false},
		{10118, "stream is offline", ErrUnavailable, true},
		{10167, "too many requests", ErrResources, true},
		{10210, "atomic publish too many inflight", ErrResources, true},
	}
	for _, c := range cases {
		err := apiError(c.code, c.description)
		if !errors.Is(err, c.want) || err.retry != c.retry || err.Code != c.code {
			t.Errorf("%d %s is %v with retry %t", c.code, c.description, err, err.retry)
		}
	}
}
