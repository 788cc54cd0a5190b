package access

import "testing"

func TestViewerMayDoNothingUnlessGranted(t *testing.T) {
	var nobody Viewer
	reader := Viewer{Name: "reader", Grants: map[string][]Right{"acme": {SecurityRead}}}
	for _, right := range Rights() {
		if nobody.Can(right, "acme") || nobody.Can(right, AllAccounts) || nobody.Can(right, "") {
			t.Errorf("the zero Viewer has %s", right)
		}
		if reader.Can(right, "acme") != (right == SecurityRead) {
			t.Errorf("who has %s and no more: Can(%s) is wrong", SecurityRead, right)
		}
		if reader.Can(right, "other") || reader.Can(right, AllAccounts) {
			t.Errorf("who has rights on acme has %s elsewhere", right)
		}
	}
	if nobody.Knows("acme") || reader.Knows("other") || !reader.Knows("acme") {
		t.Error("an account is known by other than who has a right on it")
	}
}

func TestViewerWithEveryRightHasItOnEveryAccount(t *testing.T) {
	v := Administrator("x")
	for _, right := range Rights() {
		if !v.Can(right, "acme") {
			t.Errorf("the administrator lacks %s", right)
		}
	}
	if !v.Knows("acme") {
		t.Error("the administrator does not know the account")
	}
}
