package engine

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// admit lets a client in whom the server will accept: the password is the
// user's and the database exists. It makes ClickHouse a doorkeeper.
func (c *ClickHouse) admit(ctx context.Context, h hello) (string, *refusal) {
	if !c.knows(h.user, h.password) {
		return "", &refusal{codeAuthFailed,
			h.user + ": Authentication failed: password is incorrect, or there is no user with such name"}
	}
	c.mu.Lock()
	child, failure := c.child, c.failure
	c.mu.Unlock()
	if failure != nil {
		return "", &refusal{codeNetworkError, failure.Error()}
	}
	// The server makes a database named default for itself.
	if h.database != "" && h.database != "default" {
		exists, err := c.databaseExists(ctx, h.database)
		if err != nil {
			return "", &refusal{codeNetworkError, "look for the database: " + err.Error()}
		}
		if !exists {
			return "", &refusal{codeUnknownDatabase, fmt.Sprintf("Database %s does not exist", h.database)}
		}
	}
	return net.JoinHostPort("127.0.0.1", child.port), nil
}

// knows compares in constant time, and the same time for an unknown user.
func (c *ClickHouse) knows(user, password string) bool {
	known := 0
	given := sha256.Sum256([]byte(password))
	for _, role := range roles() {
		want := sha256.Sum256([]byte(c.passwords[role]))
		known |= subtle.ConstantTimeCompare(given[:], want[:]) &
			subtle.ConstantTimeCompare([]byte(user), []byte(role))
	}
	return known == 1
}

func (c *ClickHouse) databaseExists(ctx context.Context, name string) (bool, error) {
	conn, err := c.adminConn()
	if err != nil {
		return false, err
	}
	var found uint64
	row := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = {name:String}",
		clickhouse.Named("name", name))
	if err := row.Scan(&found); err != nil {
		return false, err
	}
	return found > 0, nil
}
