package query

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestExportTakesTheFiltersOfTheList(t *testing.T) {
	v := url.Values{
		"start": {"2026-11-01"}, "end": {"now"}, "tz": {"Europe/Berlin"}, "status": {"5", "1"}, "entry": {"1"}, "kind": {"login"},
		"outcome": {"failure"}, "username": {""}, "ip": {"10.0.0.0/8"}, "session_id": {"s"}, "service": {"sso"},
		"mfa_method": {"totp"}, "q": {"Firefox"}, "order": {"asc"},
	}
	list, _, err := ParseEvents(v, asked())
	if err != nil {
		t.Fatal(err)
	}
	v.Set("format", "csv")
	q, err := ParseExport(v, asked())
	if err != nil {
		t.Fatal(err)
	}
	list.Limit = 0
	if q.Format != ExportCSV || !reflect.DeepEqual(q.Filter, list) {
		t.Errorf("the export asks %+v, the list %+v", q.Filter, list)
	}
}

func TestExportIsNDJSONNewestFirstUnlessAskedOtherwise(t *testing.T) {
	q, err := ParseExport(nil, asked())
	if err != nil || q.Format != ExportNDJSON || q.Filter.Order != Descending {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestExportRefusesPagesWithASentence(t *testing.T) {
	_, err := ParseExport(url.Values{"limit": {"5"}, "cursor": {"x"}, "format": {"xml"}}, asked())
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 3 {
		t.Fatalf("%v, want three wrong parameters", err)
	}
	for _, e := range invalid.Errors {
		switch e.Parameter {
		case "limit", "cursor":
			if !strings.Contains(e.Detail, "no pages") || !strings.Contains(e.Allowed, "format") {
				t.Errorf("%+v", e)
			}
		case "format":
			if e.Allowed != "ndjson, csv, parquet, ocsf" {
				t.Errorf("%+v", e)
			}
		default:
			t.Errorf("%+v was not asked", e)
		}
	}
}
