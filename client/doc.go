// Package client asks the API of loginaudit: who logged in, when, how and from
// where.
//
// A [Client] is made once, by [New], and is safe for concurrent use:
//
//	c, err := client.New("https://audit.example.com", client.WithToken(token))
//	for e, err := range c.Events(ctx, "acme", client.EventFilter{Start: "-24h"}) { … }
//
// The promises:
//
//   - Lists ([Client.Users], [Client.Events], [Client.UserEvents],
//     [Client.Attempts], [Client.Sessions]) are iterators that ask for page after
//     page by themselves, without a limit. The methods that end in Page ask for one
//     page, and give its cursor and its [Watermark] too.
//   - Fields of answers have the names of the API's JSON, and are encoded as the
//     API encodes them: a value that is decoded and encoded is the same text.
//   - An answer that tells what is wrong is a [*Problem], found by errors.As,
//     with each wrong parameter. errors.Is tells its kind: [ErrInvalid],
//     [ErrNotFound] and so on.
//   - Every question is a GET, which may be asked again, and is: after 429, 502,
//     503, 504 and broken connections, with growing pauses and jitter, and not
//     before the time that the server names. The context ends it at any moment.
//   - [Client.Export] ends with io.EOF only when the whole export has come, and
//     says so otherwise; [Client.Tail] goes on after a break where it was, and
//     gives no event twice.
//   - The token goes to the host of the base URL only, and stands in no error.
//     Errors of connections name no user either.
//
// Times in filters are written as the API takes them (see [Moment]); names may
// hold any bytes, also / and .. alone.
package client
