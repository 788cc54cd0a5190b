package app_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestStatusTellsTheWholePipeline(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	nc, err := nats.Connect(s.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, body := range []string{line("acme", "e1", "ann", 1, time.Now()), "not JSON"} {
		if answer, err := nc.Request("login.events.acme.login", []byte(body), testsystem.Patience); err != nil || strings.Contains(string(answer.Data), "error") {
			t.Fatalf("%v, %v", answer, err)
		}
	}
	var status query.Status
	testsystem.Until(t, "the status knows of both messages", func() error {
		status = query.Status{}
		s.Ask(t, "/api/v1/status", &status)
		switch {
		case status.Watermark.StreamSeq != 2 || status.LastCommit == nil:
			return fmt.Errorf("the watermark is %+v, the last commit %v", status.Watermark, status.LastCommit)
		case status.Parked == nil || status.Parked.Messages != 1:
			return fmt.Errorf("parked is %+v", status.Parked) // it is asked for less often
		}
		return nil
	})
	if status.State != query.PipelineOK || len(status.Reasons) != 0 {
		t.Errorf("%s because of %q", status.State, status.Reasons)
	}
	if st := status.Stream; st.Name != "LOGIN_EVENTS" || st.LastSeq != 2 || st.Messages != 2 || st.Generation != 1 || st.MaxAgeSeconds == nil {
		t.Errorf("the stream is %+v", st)
	}
	if status.Consumer.AckFloor != 2 || *status.Lag.Messages != 0 || status.Parked.Open == nil || *status.Parked.Open != 1 || status.GapsTotal != 0 {
		t.Errorf("the consumer is %+v, the lag %+v, parked %+v, %d gaps", status.Consumer, status.Lag, status.Parked, status.GapsTotal)
	}
	v := status.Versions
	if v.Loginaudit == "" || v.ClickHouse == "" || v.NATS == nil || *v.NATS == "" || v.Schema.Database != v.Schema.Program || v.Schema.Program == 0 {
		t.Errorf("the versions are %+v", v)
	}
	if len(status.Workers) != 1 || status.Workers[0].Trouble != nil || status.Workers[0].Started.IsZero() {
		t.Errorf("the workers are %+v", status.Workers)
	}
	// The next run claims at once what this one did: it is not forgotten.
	s.Stop(t)
	s = serve(t, s.Dir)
	testsystem.Until(t, "the status is known again", func() error {
		var again query.Status
		s.Ask(t, "/api/v1/status", &again)
		if again.Watermark.StreamSeq != 2 || again.GapsTotal != 0 {
			t.Fatalf("the watermark is %+v after the restart", again.Watermark)
		}
		if again.State != query.PipelineOK {
			return errors.New(strings.Join(again.Reasons, "; "))
		}
		return nil
	})
	s.Stop(t)
}
