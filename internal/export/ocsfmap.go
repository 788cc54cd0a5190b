package export

import (
	"github.com/loginaudit/loginaudit/event"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that is
// written: https://github.com/ocsf/ocsf-schema, tag 1.8.0.
const ocsfVersion = "1.8.0"

// The classes of the category Identity & Access Management.
const (
	ocsfAccountChange  = 3001
	ocsfAuthentication = 3002
)

// The activities of the two classes.
const (
	ocsfLogon   = 1 // of Authentication
	ocsfLogoff  = 2
	ocsfPreauth = 6

	ocsfPasswordReset = 4 // of Account Change
	ocsfMFAEnable     = 10
	ocsfMFADisable    = 11

	ocsfOther = 99 // of any
)

// The severities.
const (
	ocsfInformational = 1
	ocsfLow           = 2
	ocsfMedium        = 3
)

// ocsfMeaning is what a status is in OCSF.
type ocsfMeaning struct {
	class, activity, severity int
	// hasMFA is what an Account Change says of the user's factors; nil: nothing.
	hasMFA *bool
	// expires tells that the session ended by itself, for the reason of the name.
	expires bool
}

// ocsfMeanings are the statuses of codes.csv. Those that are attempts are
// Authentication, the others, which change how a user is let in, Account Change.
// What only precedes the decision about a log-in, while its outcome is pending, is
// the activity Preauth, so that each Logon is a success or a failure. MFA Reset has
// no activity of its own: factors are neither enabled nor disabled for good.
var ocsfMeanings = map[event.Status]ocsfMeaning{
	1:  {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfInformational},                       // Active
	2:  {class: ocsfAuthentication, activity: ocsfLogoff, severity: ocsfInformational},                      // Completed session
	3:  {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Invalid company
	5:  {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Invalid password
	6:  {class: ocsfAuthentication, activity: ocsfLogoff, severity: ocsfInformational, expires: true},       // Idle timeout
	7:  {class: ocsfAuthentication, activity: ocsfLogoff, severity: ocsfInformational, expires: true},       // Session ended by new login
	8:  {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfMedium},                              // IP conflict
	9:  {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Invalid user session
	10: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // User Account Disabled
	11: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Merchant Account Disabled
	12: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // IP Login Restriction
	13: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Invalid Company/User
	14: {class: ocsfAccountChange, activity: ocsfPasswordReset, severity: ocsfLow},                          // Missing email
	15: {class: ocsfAccountChange, activity: ocsfPasswordReset, severity: ocsfInformational},                // Reset successful
	16: {class: ocsfAccountChange, activity: ocsfMFADisable, severity: ocsfLow, hasMFA: new(false)},         // MFA Disabled
	17: {class: ocsfAccountChange, activity: ocsfMFAEnable, severity: ocsfInformational, hasMFA: new(true)}, // MFA Enabled
	18: {class: ocsfAccountChange, activity: ocsfMFAEnable, severity: ocsfInformational, hasMFA: new(true)}, // MFA Enrolled
	19: {class: ocsfAccountChange, activity: ocsfOther, severity: ocsfLow},                                  // MFA Reset
	20: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfMedium},                              // User locked due MFA
	21: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfInformational},                       // Login successful MFA
	22: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Login failed MFA
	23: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Login timeout TOTP
	24: {class: ocsfAuthentication, activity: ocsfPreauth, severity: ocsfInformational},                     // Login requested MFA
	25: {class: ocsfAuthentication, activity: ocsfPreauth, severity: ocsfInformational},                     // Valid credential. MFA required
	26: {class: ocsfAuthentication, activity: ocsfLogon, severity: ocsfLow},                                 // Invalid MFA validation data
}

// className is the caption of a class.
func className(class int) string {
	if class == ocsfAuthentication {
		return "Authentication"
	}
	return "Account Change"
}

// activityName is the caption of an activity, or for one that is not mapped the
// name of the status.
func activityName(m ocsfMeaning, s event.Status) string {
	switch {
	case m.activity == ocsfOther:
		return s.Name()
	case m.class == ocsfAuthentication:
		return map[int]string{ocsfLogon: "Logon", ocsfLogoff: "Logoff", ocsfPreauth: "Preauth"}[m.activity]
	default:
		return map[int]string{
			ocsfPasswordReset: "Password Reset", ocsfMFAEnable: "MFA Factor Enable", ocsfMFADisable: "MFA Factor Disable",
		}[m.activity]
	}
}

func severityName(severity int) string {
	return map[int]string{ocsfInformational: "Informational", ocsfLow: "Low", ocsfMedium: "Medium"}[severity]
}

// ocsfStatus is an outcome as OCSF's status. A pending one is none of its own: 99,
// Other, with the word of the contract.
func ocsfStatus(o event.Outcome) (id int, name string) {
	switch o {
	case event.OutcomeSuccess:
		return 1, "Success"
	case event.OutcomeFailure:
		return 2, "Failure"
	default:
		return ocsfOther, string(o)
	}
}

// ocsfFactor is a method of a second factor as OCSF's type of a factor.
func ocsfFactor(m event.MFAMethod) (id int, name string) {
	switch m {
	case "totp":
		return 7, "OTP"
	case "sms":
		return 1, "SMS"
	case "email":
		return 8, "Email"
	case "push":
		return 5, "Push Notification"
	case "webauthn":
		return 10, "WebAuthn"
	case "call":
		return 3, "Phone Call"
	default: // backup_code, other
		return ocsfOther, string(m)
	}
}

// The types of a log-on: over the network, or by a batch.
const (
	logonNetwork = 3
	logonBatch   = 4
)

// ocsfLogonType is an entry as OCSF's type of a log-on: what runs by itself is a
// batch, all else comes over the network.
func ocsfLogonType(e event.Entry) (id int, name string) {
	switch e {
	case 3, 4, 5: // Batch file upload, Recurring billing, Inventory upload
		return logonBatch, "Batch"
	default:
		return logonNetwork, "Network"
	}
}
