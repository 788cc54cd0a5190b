// Command ingest moves log-in events from NATS JetStream into ClickHouse. It
// parks what is invalid. Several of it may run at once.
package main

import (
	"os"

	"github.com/loginaudit/loginaudit/internal/app"
)

func main() {
	os.Exit(app.Execute(app.IngestCommand(), os.Args[1:]))
}
