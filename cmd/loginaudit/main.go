// Command loginaudit is the operator's tool: it runs the whole system on one
// machine, migrates the schema, imports and makes up events, and shows what is
// parked.
package main

import (
	"os"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
)

func main() {
	engine.MaybeRunChild() // in the child process that is ClickHouse it does not return
	os.Exit(app.Execute(app.LoginauditCommand(), os.Args[1:]))
}
