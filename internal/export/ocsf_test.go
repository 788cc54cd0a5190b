package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// ocsfSchema is testdata/ocsf-1.8.0.json.
type ocsfSchema struct {
	Version string                `json:"version"`
	Classes map[string]ocsfObject `json:"classes"`
	Objects map[string]ocsfObject `json:"objects"`
}

type ocsfObject struct {
	Caption    string                   `json:"caption"`
	Required   []string                 `json:"required"`
	AtLeastOne []string                 `json:"at_least_one"`
	Attributes map[string]ocsfAttribute `json:"attributes"`
}

type ocsfAttribute struct {
	Type    string            `json:"type"`
	Array   bool              `json:"array"`
	Enum    map[string]string `json:"enum"`
	Sibling string            `json:"sibling"`
}

func readSchema(t testing.TB) (s ocsfSchema) {
	t.Helper()
	text, err := os.ReadFile("testdata/ocsf-1.8.0.json")
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wrong is everything that the schema has against an event.
func (s ocsfSchema) wrong(line map[string]any) (all []string) {
	class, ok := s.Classes[fmt.Sprint(line["class_uid"])]
	if !ok {
		return []string{fmt.Sprintf("class_uid is %v", line["class_uid"])}
	}
	all = s.wrongObject("", class, line)
	classUID, _ := line["class_uid"].(json.Number).Int64()
	activity, _ := line["activity_id"].(json.Number).Int64()
	if want := strconv.FormatInt(classUID*100+activity, 10); fmt.Sprint(line["type_uid"]) != want {
		all = append(all, fmt.Sprintf("type_uid is %v, want %s", line["type_uid"], want))
	}
	if want := class.Caption + ": " + fmt.Sprint(line["activity_name"]); line["type_name"] != want {
		all = append(all, fmt.Sprintf("type_name is %v, want %s", line["type_name"], want))
	}
	return all
}

func (s ocsfSchema) wrongObject(path string, o ocsfObject, have map[string]any) (all []string) {
	for _, name := range o.Required {
		if have[name] == nil {
			all = append(all, path+name+" is missing")
		}
	}
	one := len(o.AtLeastOne) == 0
	for _, name := range o.AtLeastOne {
		one = one || have[name] != nil
	}
	if !one {
		all = append(all, fmt.Sprintf("%sone of %v is missing", path, o.AtLeastOne))
	}
	for name, value := range have {
		attribute, ok := o.Attributes[name]
		values, isList := value.([]any)
		if !ok || isList != attribute.Array {
			all = append(all, path+name+" is unknown, or not the list that it should be")
			continue
		}
		if !isList {
			values = []any{value}
		}
		for _, v := range values {
			all = append(all, s.wrongValue(path+name, attribute, v)...)
		}
		caption, known := attribute.Enum[fmt.Sprint(value)]
		if attribute.Enum == nil {
			continue
		}
		// For what is not mapped the sibling has the word of the source.
		if sibling := have[attribute.Sibling]; !known || sibling == "" || sibling != caption && caption != "Other" {
			all = append(all, fmt.Sprintf("%s%s is %v (%v)", path, name, value, sibling))
		}
	}
	return all
}

func (s ocsfSchema) wrongValue(path string, a ocsfAttribute, value any) []string {
	ok := false
	switch a.Type {
	case "integer_t", "long_t", "timestamp_t":
		n, isNumber := value.(json.Number)
		_, err := n.Int64()
		ok = isNumber && err == nil
	case "string_t", "username_t":
		_, ok = value.(string)
	case "ip_t":
		text, _ := value.(string)
		_, err := netip.ParseAddr(text)
		ok = err == nil
	case "boolean_t":
		_, ok = value.(bool)
	case "object":
		_, ok = value.(map[string]any)
	default:
		object, known := s.Objects[a.Type]
		members, isObject := value.(map[string]any)
		if known && isObject {
			return s.wrongObject(path+".", object, members)
		}
	}
	if !ok {
		return []string{fmt.Sprintf("%s is %v, which is no %s", path, value, a.Type)}
	}
	return nil
}

// ocsfLines are the objects of an export.
func ocsfLines(t testing.TB, events []query.Event) (all []map[string]any) {
	t.Helper()
	text := string(written(t, query.ExportOCSF, events))
	for line := range strings.Lines(text) {
		var object map[string]any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, object)
	}
	return all
}

// ofStatus is a whole event of a status.
func ofStatus(s event.Status) query.Event {
	e := realEvent(0)
	e.Status, e.StatusName, e.Kind, e.Outcome = s, s.Name(), s.Kind(), s.Outcome()
	return e
}

func TestOCSFHasEveryStatusAsTheSchemaWantsIt(t *testing.T) {
	schema := readSchema(t)
	rapid.Check(t, func(rt *rapid.T) {
		e := someEvent(rt)
		if e.IP != nil {
			e.IP = new("2001:db8::7")
		}
		lines := ocsfLines(t, []query.Event{e})
		if len(lines) != 1 {
			rt.Fatalf("%d lines for one event", len(lines))
		}
		if wrong := schema.wrong(lines[0]); len(wrong) > 0 {
			rt.Fatalf("%s in %v", strings.Join(wrong, "; "), lines[0])
		}
	})
	for _, s := range event.Statuses() {
		for _, entry := range event.Entries() {
			for _, bare := range []bool{true, false} {
				e := ofStatus(s)
				if bare {
					e = query.Event{Account: "acme", Status: s, StatusName: s.Name(), Kind: s.Kind(), Outcome: s.Outcome()}
				}
				e.Entry, e.EntryName = entry, entry.Name()
				if wrong := schema.wrong(ocsfLines(t, []query.Event{e})[0]); len(wrong) > 0 {
					t.Errorf("%s: %s", s.Name(), strings.Join(wrong, "; "))
				}
			}
		}
	}
}

// TestOCSFMapsEveryStatus is the table of docs/api.md.
func TestOCSFMapsEveryStatus(t *testing.T) {
	want := map[event.Status]string{
		1: "Authentication: Logon, Success, Informational", 2: "Authentication: Logoff, Success, Informational",
		3: "Authentication: Logon, Failure, Low", 5: "Authentication: Logon, Failure, Low",
		6: "Authentication: Logoff, Success, Informational", 7: "Authentication: Logoff, Success, Informational",
		8: "Authentication: Logon, Failure, Medium", 9: "Authentication: Logon, Failure, Low",
		10: "Authentication: Logon, Failure, Low", 11: "Authentication: Logon, Failure, Low", 12: "Authentication: Logon, Failure, Low",
		13: "Authentication: Logon, Failure, Low", 14: "Account Change: Password Reset, Failure, Low",
		15: "Account Change: Password Reset, Success, Informational", 16: "Account Change: MFA Factor Disable, Success, Low",
		17: "Account Change: MFA Factor Enable, Success, Informational", 18: "Account Change: MFA Factor Enable, Success, Informational",
		19: "Account Change: MFA Reset, Success, Low", 20: "Authentication: Logon, Failure, Medium",
		21: "Authentication: Logon, Success, Informational", 22: "Authentication: Logon, Failure, Low",
		23: "Authentication: Logon, Failure, Low", 24: "Authentication: Preauth, pending, Informational",
		25: "Authentication: Preauth, pending, Informational", 26: "Authentication: Logon, Failure, Low",
	}
	for _, s := range event.Statuses() {
		line := ocsfLines(t, []query.Event{ofStatus(s)})[0]
		if got := fmt.Sprintf("%s, %s, %s", line["type_name"], line["status"], line["severity"]); got != want[s] {
			t.Errorf("%d %s is %s, want %s", s, s.Name(), got, want[s])
		}
		if line["class_uid"] == json.Number("3002") != (s.Attempt() != "") {
			t.Errorf("%s is of class %v: attempts, and only they, are Authentication", s.Name(), line["class_uid"])
		}
	}
}

func TestOCSFHoldsEveryFieldOfAnEvent(t *testing.T) {
	e := ofStatus(6)
	e.DeviceID, e.RequestID, e.Reason, e.Conflict = new("device-1"), new("request-1"), new("too long"), true
	got := string(asLists(t, ocsfLines(t, []query.Event{e})[0]))
	want := `{"activity_id":2,"activity_name":"Logoff","auth_factors":[{"factor_type":"OTP","factor_type_id":7,"is_totp":true}],` +
		`"category_name":"Identity & Access Management","category_uid":3,"class_name":"Authentication","class_uid":3002,` +
		`"http_request":{"uid":"request-1","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},` +
		`"is_mfa":true,"message":"Idle timeout",` +
		`"metadata":{"log_provider":"sso","logged_time":1793525415120,"original_event_uid":"01890a5d-ac96-774b-bcce-b302099a8057",` +
		`"original_time":"2026-11-01T09:30:15.120034Z","processed_time":1793525415120,` +
		`"product":{"name":"loginaudit","vendor_name":"loginaudit","version":"1.2.3"},"tenant_uid":"acme",` +
		`"uid":"00000000000000000000000000000000","version":"1.8.0"},` +
		`"service":{"name":"sso"},"session":{"expiration_reason":"Idle timeout","uid":"session-0123456789abcdef"},` +
		`"severity":"Informational","severity_id":1,"src_endpoint":{"ip":"203.0.113.77","uid":"device-1"},` +
		`"status":"Success","status_code":"6","status_detail":"too long","status_id":1,"time":1793525415120,` +
		`"type_name":"Authentication: Logoff","type_uid":300202,` +
		`"unmapped":{"attributes":{"country":"DE","tenant":"blue"},"conflict":true,"entry":1,"entry_name":"Membership login",` +
		`"kind":"logout","mfa_method":"totp","outcome":"success","stream_seq":1},` +
		`"user":{"account":{"uid":"acme"},"name":"user4711@example.com"}}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOCSFNamesEveryMethodOfASecondFactor(t *testing.T) {
	want := map[event.MFAMethod]string{
		"totp": "7 OTP", "sms": "1 SMS", "email": "8 Email", "push": "5 Push Notification", "webauthn": "10 WebAuthn",
		"call": "3 Phone Call", "backup_code": "99 backup_code", "other": "99 other",
	}
	for _, method := range event.MFAMethods() {
		e := ofStatus(21)
		e.MFAMethod = &method
		factor, _ := ocsfLines(t, []query.Event{e})[0]["auth_factors"].([]any)[0].(map[string]any)
		if got := fmt.Sprintf("%v %v", factor["factor_type_id"], factor["factor_type"]); got != want[method] {
			t.Errorf("%s is %s, want %s", method, got, want[method])
		}
	}
}

func TestOCSFOfNothingIsNothing(t *testing.T) {
	if got := written(t, query.ExportOCSF, nil); !bytes.Equal(got, nil) {
		t.Errorf("got %q", got)
	}
}
