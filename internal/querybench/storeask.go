package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// askStore answers the question of a path of the API by the store alone: what is
// left of an answer without HTTP, JSON and rights.
func askStore(ctx context.Context, db *store.DB, path string) error {
	u, err := url.Parse(path)
	if err != nil {
		return err
	}
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(u.EscapedPath(), "/api/v1/accounts/"), "/") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return err
		}
		parts = append(parts, text)
	}
	account, values := parts[0], u.Query()
	asked := query.Asked{Account: account, Now: time.Now()}
	if parts[1] == "users" && len(parts) > 2 {
		asked.Username = &parts[2]
		return askUser(ctx, db, asked, values, parts[3:])
	}
	switch what := strings.Join(parts[1:], "/"); {
	case what == "users":
		f, _, perr := query.ParseUsers(values, asked)
		_, err = db.Users(ctx, account, f)
		return errors.Join(perr, err)
	case what == "events":
		f, _, perr := query.ParseEvents(values, asked)
		_, err = db.Events(ctx, account, f)
		return errors.Join(perr, err)
	case parts[1] == "events":
		q, perr := query.ParseEvent(values, parts[2], asked)
		_, err = db.Event(ctx, account, q)
		return errors.Join(perr, err)
	case what == "histogram":
		q, perr := query.ParseHistogram(values, asked)
		_, err = db.Histogram(ctx, account, q)
		return errors.Join(perr, err)
	case what == "facets":
		q, perr := query.ParseFacets(values, asked)
		_, err = db.Facets(ctx, account, q)
		return errors.Join(perr, err)
	}
	return fmt.Errorf("%s is no question that the store is asked alone", path)
}

// askUser is askStore about one user; that there is none is an answer too.
func askUser(ctx context.Context, db *store.DB, asked query.Asked, values url.Values, rest []string) error {
	var err, perr error
	switch strings.Join(rest, "/") {
	case "":
		var asOf time.Time
		asOf, perr = query.ParseUser(values, asked)
		_, err = db.User(ctx, asked.Account, *asked.Username, asOf)
	case "attempts":
		var f query.AttemptFilter
		f, _, perr = query.ParseAttempts(values, asked)
		_, err = db.Attempts(ctx, asked.Account, f)
	case "events":
		var f query.EventFilter
		f, _, perr = query.ParseEvents(values, asked)
		_, err = db.UserEvents(ctx, asked.Account, f)
	default:
		return fmt.Errorf("%v is no question about a user", rest)
	}
	if errors.Is(err, query.ErrNotFound) {
		err = nil
	}
	return errors.Join(perr, err)
}
