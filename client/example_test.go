package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/event"
)

// An analyst looks at who is there and what went wrong.
func Example() {
	url, token, stop := exampleServer() // with you: https://audit.example.com and a token of your own
	defer stop()
	ctx := context.Background()

	c, err := client.New(url, client.WithToken(token))
	if err != nil {
		panic(err)
	}
	defer c.Close()

	// The iterator asks for page after page.
	failures := client.EventFilter{Start: "2026-03-10", End: "2026-03-10", Outcomes: []event.Outcome{event.OutcomeFailure}}
	for e, err := range c.Events(ctx, "acme", failures) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %q %s\n", e.OccurredAt, e.Username, e.StatusName)
	}

	// One page tells how complete it is, too.
	page, err := c.SessionsPage(ctx, "acme", client.SessionFilter{At: "2026-03-10T10:00"}, client.Page{Limit: 10})
	if err != nil {
		panic(err)
	}
	fmt.Println("logged in at ten:", page.Sessions[0].Username, "- complete up to sequence", page.Watermark.StreamSeq)

	// What is wrong is told by parameter.
	_, err = c.UsersPage(ctx, "acme", client.UserFilter{AsOf: "yesterday"}, client.Page{})
	var problem *client.Problem
	if errors.As(err, &problem) && client.IsInvalid(err) {
		fmt.Println(problem.Errors[0].Parameter, problem.Errors[0].Detail)
	}
	_, err = c.User(ctx, "acme", "nobody", client.MomentFilter{})
	fmt.Println("nobody is not found:", client.IsNotFound(err))

	// Output:
	// 2026-03-10T12:33:00.000000Z "" Invalid Company/User
	// 2026-03-10T09:05:00.000000Z "bob" Invalid password
	// logged in at ten: ann - complete up to sequence 7
	// as_of "yesterday" is not a time
	// nobody is not found: true
}

// An export says at its end whether it is whole: use what was read only then.
func ExampleClient_Export() {
	url, token, stop := exampleServer()
	defer stop()
	c, err := client.New(url, client.WithToken(token))
	if err != nil {
		panic(err)
	}
	defer c.Close()

	export, err := c.Export(context.Background(), "acme", client.EventFilter{Username: new("ann")}, client.CSV)
	if err != nil {
		panic(err)
	}
	defer export.Close()
	var file bytes.Buffer
	switch _, err := io.Copy(&file, export); {
	case errors.Is(err, client.ErrIncomplete):
		fmt.Println("ask again:", err)
	case err != nil:
		fmt.Println("cannot write:", err)
	default:
		fmt.Println(export.Events(), "events in", strings.Count(file.String(), "\r\n"), "lines")
	}
	// Output:
	// 3 events in 4 lines
}

// A tail follows what arrives, over breaks and restarts of the server.
func ExampleClient_Tail() {
	url, token, stop := exampleServer()
	defer stop()
	c, err := client.New(url, client.WithToken(token))
	if err != nil {
		panic(err)
	}
	defer c.Close()

	// Without After it begins now.
	for item, err := range c.Tail(context.Background(), "acme", client.EventFilter{}, client.TailOptions{After: new(uint64(0))}) {
		switch {
		case err != nil:
			panic(err) // the server refuses, or the context has ended
		case item.Gap != nil:
			fmt.Println("nothing is told of", item.Gap.FromSeq, "to", item.Gap.ToSeq)
		case item.Event != nil:
			fmt.Println(item.Seq, item.Event.ID)
		}
		if item.Seq == 3 { // keep it: a later tail may go on from there
			break
		}
	}
	// Output:
	// 1 e-1
	// 2 e-2
	// 3 e-3
}
