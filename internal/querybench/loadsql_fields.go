package main

import (
	"fmt"
	"strings"

	"github.com/loginaudit/loginaudit/event"
)

// The clients. {v} is the version of a browser, which moves on every month; {a}
// the one of an app, every quarter.
var desktops = [...]string{ //nolint:gochecknoglobals // a constant list
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36 Edg/{v}.0.0.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{s} Safari/605.1.15",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
	"Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
}

var phones = [...]string{ //nolint:gochecknoglobals // a constant list
	"AcmeMobile/{a} (iPhone16,2; iOS 19.1)", "AcmeMobile/{a} (iPhone15,3; iOS 18.7)", "AcmeMobile/{a} (iPhone14,5; iOS 18.7)",
	"AcmeMobile/{a} (Pixel 9; Android 16)", "AcmeMobile/{a} (Pixel 8a; Android 16)", "AcmeMobile/{a} (SM-S931B; Android 15)",
	"AcmeMobile/{a} (SM-A556B; Android 15)", "AcmeMobile/{a} (SM-G991B; Android 14)", "AcmeMobile/{a} (2312DRA50G; Android 14)",
	"AcmeMobile/{a} (CPH2581; Android 15)",
}

// machines are the jobs: agent, service and entry at the same place.
var (
	machines        = [...]string{"curl/8.15.0", "BatchUploader/1.9 (.NET 9.0)", "RecurringBilling/3.2 (Java 21)", "python-requests/2.32.4", "Go-http-client/2.0"} //nolint:gochecknoglobals // a constant list
	machineServices = [...]string{"reports", "batch-upload", "billing-gw", "inventory", "https-api"}                                                               //nolint:gochecknoglobals // a constant list
	machineEntries  = [...]event.Entry{2, 3, 4, 5, 6}                                                                                                              //nolint:gochecknoglobals // a constant list
)

// factors are the second factors of people, each as often as it stands here.
var factors = [...]event.MFAMethod{"totp", "totp", "totp", "push", "push", "sms", "webauthn", "email", "call"} //nolint:gochecknoglobals // a constant list

// userNameSQL is userName in SQL.
func userNameSQL() string {
	first := fmt.Sprintf("%s[1 + (within + 7 * account_no) %% %d]", texts(firstNames[:]), len(firstNames))
	last := fmt.Sprintf("%s[1 + (within + 5 * account_no) %% %d]", texts(lastNames[:]), len(lastNames))
	return fmt.Sprintf("multiIf(within = 0, 'admin', within = %d, 'svc-batch', concat(%s, if(within %% 3 = 2, ' ', '.'), %s, if(within >= %d, toString(within), ''), if(within %% 3 = 1, '@example.com', '')))",
		jobs, first, last, namePairs)
}

// chosen is an element of a list by chance.
func chosen(list, by string, n int) string { return fmt.Sprintf("%s[1 + %s %% %d]", list, by, n) }

// devices is the layer of what somebody logs in from.
func (s set) devices() []definition {
	desktop := chosen(texts(desktops[:]), s.drawSQL("user", drawDesk), len(desktops))
	phone := chosen(texts(phones[:]), s.drawSQL("user", drawPhone), len(phones))
	return []definition{
		// 0 at the desk, 1 at home, 2 with the phone
		{"device", fmt.Sprintf("multiIf(%s %% 100 < 15, 2, %s %% 100 < 36, 1, 0)", s.drawSQL("session", drawDevice), s.drawSQL("session", drawDevice))},
		{"job_no", fmt.Sprintf("1 + %s %% %d", s.drawSQL("session", drawDevice), len(machines))},
		{"desktop", fmt.Sprintf("replaceAll(replaceAll(%s, '{v}', toString(106 + month - intDiv(%s, 16) %% 3)), '{s}', concat(toString(17 + intDiv(month, 12)), '.', toString(month %% 6)))",
			desktop, s.drawSQL("user", drawDesk))},
		{"phone", fmt.Sprintf("replaceOne(%s, '{a}', concat('7.', toString(intDiv(month, 3)), '.', toString(intDiv(%s, 16) %% 3)))", phone, s.drawSQL("user", drawPhone))},
		{"office", fmt.Sprintf("toUInt32(3323068416 + (account_no %% 512) * 256 + 1 + %s %% if(size > 10000, 200, 5))", s.drawSQL("user", drawOffice))}, // 198.18.0.0/15
		{"cell", fmt.Sprintf("toUInt32(1681915904 + %s %% 4194304)", s.drawSQL("user", drawCell))},                                                      // 100.64.0.0/10
		{"home", fmt.Sprintf("toUInt32(3405803776 + %s %% 256)", s.drawSQL("user", drawHomeLow))},                                                       // 203.0.113.0/24
	}
}

// what are the layers of the other fields, and of the outline of the body.
func (s set) what() [][]definition {
	// 2001:db8::/32, a network and a random interface.
	v6 := func(decision int) string {
		network := fmt.Sprintf("2306139568115548160 + bitAnd(bitShiftRight(%s, 16), 4294901760)", s.drawSQL("user", decision))
		return "CAST(toFixedString(concat(" + bytesOf("toUInt64("+network+")") + ", " + bytesOf(s.drawSQL("user", decision+1)) + "), 16) AS IPv6)"
	}
	reasonOf := make([]string, 32)
	for status, reason := range reasons() {
		reasonOf[status] = reason
	}
	return [][]definition{
		{
			{"silent", "status IN (6, 7)"}, // the server's doing: no client is there
			{"is_v4", fmt.Sprintf("multiIf(device = 0 OR is_job, 1, device = 1, %s %% 2, %s %% 10 < 4)", s.drawSQL("user", drawHome), s.drawSQL("user", drawCell))},
			{"rank", rankSQL()},
			// a UUID of version 7 (RFC 9562) of the event's moment
			{"id_start", fmt.Sprintf("toUInt64(bitOr(bitShiftLeft(intDiv(at, 1000), 16), 28672 + %s %% 4096))", s.drawSQL("thing", drawIDHigh))},
			{"id_end", fmt.Sprintf("toUInt64(bitOr(bitShiftRight(%s, 2), 9223372036854775808))", s.drawSQL("thing", drawIDLow))},
			{"session_id", "if(status IN (14, 15, 16, 17), '', concat('s-', " + hexOfBytes(s.drawSQL("session", drawSessionHigh)) + ", substring(" + hexOfBytes(s.drawSQL("session", drawSessionLow)) + ", 1, 8)))"},
			{"entry", fmt.Sprintf("toUInt8(multiIf(status = 15, 8, is_job, %s[job_no], device = 2, 7, 1))", numbers(machineEntries[:]))},
			{"reason", texts(reasonOf) + "[status + 1]"},
		},
		{
			{"id", "UUIDNumToString(toFixedString(concat(" + bytesOf("id_start") + ", " + bytesOf("id_end") + "), 16))"},
			{"ip", fmt.Sprintf("multiIf(NOT is_v4, if(device = 2, %s, %s), IPv4ToIPv6(toIPv4(multiIf(device = 0 OR is_job, office, device = 1, home, cell))))", v6(drawCell), v6(drawHome))},
			{"user_agent", "multiIf(silent, '', is_job, " + texts(machines[:]) + "[job_no], device = 2, phone, desktop)"},
			{"service", "multiIf(is_job, " + texts(machineServices[:]) + "[job_no], device = 2, 'mobile-login', 'web-login')"},
			{"mfa_method", "if(status >= 18, " + chosen(texts(words(factors[:])), s.drawSQL("user", drawFactor), len(factors)) + ", '')"},
			{"device_id", "if(silent OR is_job, '', concat('dev-', substring(" + hexOfBytes("if(device = 2, "+s.drawSQL("user", drawPhoneDevice)+", "+s.drawSQL("user", drawDeskDevice)+")") + ", 1, 10)))"},
			{"request_id", "if(silent, '', concat('req-', " + hexOfBytes(s.drawSQL("thing", drawRequest)) + "))"},
			{"node", "concat('auth-', toString(1 + " + s.drawSQL("thing", drawNode) + " % 3))"},
			{"tls", "if(" + s.drawSQL("thing", drawNode) + " % 16 < 5, '1.2', '1.3')"},
			{"detailed", s.drawSQL("thing", drawAttributes) + " % 10 < 3"},
			{"risk", "if(status = 1 AND " + s.drawSQL("thing", drawRisk) + " % 10 = 0, toString(intDiv(" + s.drawSQL("thing", drawRisk) + ", 16) % 40), '')"},
		},
		{
			{"attributes", "CAST(if(detailed, map('node', node, 'tls', tls), map()) AS Map(LowCardinality(String), String))"},
			{"outline", outlineSQL()},
		},
	}
}

// outlineSQL is what the worker stores of a canonical body: every value that is a
// column is one control character (internal/store/outline.go), the rest stands
// there as it is.
func outlineSQL() string {
	parts := []string{
		`'{"account":\x02'`,
		`if(detailed, concat(',"attributes":{"node":"', node, '","tls":"', tls, '"}'), '')`,
		`if(device_id != '', ',"device_id":\x11', '')`,
		`',"entry":\x05,"id":\x01'`,
		`if(is_v4, ',"ip":\x0E', concat(',"ip":"', toString(ip), '"'))`,
		`if(mfa_method != '', ',"mfa_method":\x10', '')`,
		`',"occurred_at":\x04'`,
		`if(reason != '', ',"reason":\x13', '')`,
		`if(request_id != '', ',"request_id":\x12', '')`,
		`if(risk != '', concat(',"risk_score":', risk), '')`,
		`',"service":\x08'`,
		`if(session_id != '', ',"session_id":\x07', '')`,
		`',"status":\x06'`,
		`if(user_agent != '', ',"user_agent":\x0F', '')`,
		`',"username":\x03}'`,
	}
	return "concat(" + strings.Join(parts, ", ") + ")"
}

// bytesOf are the 8 bytes of a number, the first one first.
func bytesOf(n string) string { return "reinterpretAsFixedString(byteSwap(" + n + "))" }

func hexOfBytes(n string) string { return "lower(hex(" + bytesOf("toUInt64("+n+")") + "))" }

func words[S ~string](list []S) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = string(s)
	}
	return all
}
