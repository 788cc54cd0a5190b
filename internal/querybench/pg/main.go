// Command pg asks PostgreSQL for querybench, which times its own server in the same
// run. It reads requests from standard input, one JSON object a line, and answers
// each with one: how long it took, from before the statement was sent until its
// last row was decoded.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// request is one thing to do.
type request struct {
	// Op is "script": statements without rows; "copy": COPY … FROM STDIN of a file;
	// "query": a statement with rows.
	Op   string   `json:"op"`
	SQL  string   `json:"sql"`
	Args []string `json:"args"`
	File string   `json:"file"`
	// Keys asks for the first column of each row.
	Keys bool `json:"keys"`
}

// response is what came of it.
type response struct {
	Took  time.Duration `json:"took"`
	Rows  int64         `json:"rows"`
	Keys  []string      `json:"keys,omitempty"`
	Error string        `json:"error,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pg CONNECTION, for querybench -postgres")
		os.Exit(2)
	}
	if err := serve(context.Background(), os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pg:", err)
		os.Exit(1)
	}
}

// serve answers requests until they end.
func serve(ctx context.Context, connection string, in io.Reader, out io.Writer) error {
	conn, err := pgx.Connect(ctx, connection)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	requests, responses := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var q request
		if err := requests.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var r response
		began := time.Now()
		err := answer(ctx, conn, q, &r)
		r.Took = time.Since(began)
		if err != nil {
			r.Error = err.Error()
		}
		if err := responses.Encode(r); err != nil {
			return err
		}
	}
}

func answer(ctx context.Context, conn *pgx.Conn, q request, r *response) error {
	switch q.Op {
	case "script":
		return conn.PgConn().Exec(ctx, q.SQL).Close()
	case "copy":
		file, err := os.Open(q.File)
		if err != nil {
			return err
		}
		defer file.Close()
		tag, err := conn.PgConn().CopyFrom(ctx, bufio.NewReaderSize(file, 1<<20), q.SQL)
		r.Rows = tag.RowsAffected()
		return err
	case "query":
		return rows(ctx, conn, q, r)
	}
	return fmt.Errorf("op %q is not known", q.Op)
}

// rows decodes every value of every row, as a program that shows them does.
func rows(ctx context.Context, conn *pgx.Conn, q request, r *response) error {
	args := make([]any, len(q.Args))
	for i, a := range q.Args {
		args[i] = a
	}
	rows, err := conn.Query(ctx, q.SQL, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		r.Rows++
		if q.Keys {
			r.Keys = append(r.Keys, key(values[0]))
		}
	}
	return rows.Err()
}

// key is the first value of a row as text; empty for null.
func key(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case [16]byte:
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
	}
	return fmt.Sprint(value)
}
