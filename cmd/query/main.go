// Command query answers the API and the page from ClickHouse. Several of it may
// run at once.
package main

import (
	"os"

	"github.com/loginaudit/loginaudit/internal/app"
)

func main() {
	os.Exit(app.Execute(app.QueryCommand(), os.Args[1:]))
}
