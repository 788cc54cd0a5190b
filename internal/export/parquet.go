package export

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/loginaudit/loginaudit/internal/query"
)

// The bounds of a row group, which is what a file of Parquet holds in memory: the
// rows, and the bytes of their texts.
const (
	groupRows  = 50_000
	groupBytes = 16 << 20
	// rowsAtOnce is how many rows are given to the row group at once.
	rowsAtOnce = 1024
)

// parquetEvent is a row: times are microseconds in UTC, codes are numbers beside
// their names, what is absent is null.
type parquetEvent struct {
	ID         string            `parquet:"id"`
	Account    string            `parquet:"account,dict"`
	Username   string            `parquet:"username"`
	OccurredAt int64             `parquet:"occurred_at,timestamp(microsecond:utc),delta"`
	Entry      int32             `parquet:"entry"`
	EntryName  string            `parquet:"entry_name,dict"`
	Status     int32             `parquet:"status"`
	StatusName string            `parquet:"status_name,dict"`
	Kind       string            `parquet:"kind,dict"`
	Outcome    string            `parquet:"outcome,dict"`
	SessionID  *string           `parquet:"session_id,optional"`
	IP         *string           `parquet:"ip,optional"`
	UserAgent  *string           `parquet:"user_agent,optional,dict"`
	Service    *string           `parquet:"service,optional,dict"`
	MFAMethod  *string           `parquet:"mfa_method,optional,dict"`
	DeviceID   *string           `parquet:"device_id,optional"`
	RequestID  *string           `parquet:"request_id,optional"`
	Reason     *string           `parquet:"reason,optional"`
	Attributes map[string]string `parquet:"attributes,optional"`
	ReceivedAt int64             `parquet:"received_at,timestamp(microsecond:utc),delta"`
	IngestedAt int64             `parquet:"ingested_at,timestamp(microsecond:utc),delta"`
	StreamSeq  int64             `parquet:"stream_seq,delta"` // the stream counts to 2^63
	Conflict   bool              `parquet:"conflict"`
}

// The names of what the footer tells beside the schema.
const (
	keyAccount    = "loginaudit.account"
	keyParameters = "loginaudit.parameters"
	keyAt         = "loginaudit.at"
	keyEvents     = "loginaudit.events"
	keyWatermark  = "loginaudit.watermark"
	keyComplete   = "loginaudit.complete"
)

// parquetEncoder writes a file of Parquet, row group by row group. Its footer, the
// last that is written, proves that it is whole; without it no reader opens it.
type parquetEncoder struct {
	writer *parquet.GenericWriter[parquetEvent]
	about  About
	rows   []parquetEvent
	// held and heldBytes are the size of the row group that is not written yet.
	held, heldBytes int
	events          uint64
}

func newParquet(w io.Writer, about About) *parquetEncoder {
	writer := parquet.NewGenericWriter[parquetEvent](w,
		parquet.NewSchema("event", parquet.SchemaOf(parquetEvent{})),
		parquet.Compression(&parquet.Snappy), // which every reader knows
		parquet.CreatedBy("loginaudit", about.Version, ""),
		parquet.PageBufferSize(256<<10))
	return &parquetEncoder{writer: writer, about: about}
}

// Write implements Encoder.
func (e *parquetEncoder) Write(events []query.Event) error {
	for i := range events {
		v := &events[i]
		e.rows = append(e.rows, rowOf(v))
		e.held++
		e.heldBytes += sizeOf(v)
		var err error
		switch {
		case e.held == groupRows || e.heldBytes >= groupBytes:
			err = e.flush()
		case len(e.rows) == rowsAtOnce:
			err = e.add()
		}
		if err != nil {
			return err
		}
	}
	e.events += uint64(len(events))
	return e.add()
}

// add gives the rows to the row group.
func (e *parquetEncoder) add() error {
	if _, err := e.writer.Write(e.rows); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	clear(e.rows) // or the texts of the last events would stay
	e.rows = e.rows[:0]
	return nil
}

// flush ends the row group.
func (e *parquetEncoder) flush() error {
	if err := e.add(); err != nil {
		return err
	}
	if err := e.writer.Flush(); err != nil {
		return fmt.Errorf("write row group: %w", err)
	}
	e.held, e.heldBytes = 0, 0
	return nil
}

// Close implements Encoder.
func (e *parquetEncoder) Close(mark query.Watermark) error {
	watermark, err := json.Marshal(mark)
	if err != nil {
		return fmt.Errorf("encode watermark: %w", err)
	}
	e.writer.SetKeyValueMetadata(keyAccount, e.about.Account)
	e.writer.SetKeyValueMetadata(keyParameters, e.about.Parameters.Encode())
	e.writer.SetKeyValueMetadata(keyAt, query.At(e.about.At).String())
	e.writer.SetKeyValueMetadata(keyEvents, strconv.FormatUint(e.events, 10))
	e.writer.SetKeyValueMetadata(keyWatermark, string(watermark))
	e.writer.SetKeyValueMetadata(keyComplete, "true")
	if err := e.writer.Close(); err != nil {
		return fmt.Errorf("write footer: %w", err)
	}
	return nil
}

// Break implements Encoder. The format has no place for an error.
func (e *parquetEncoder) Break(json.RawMessage) error { return nil }

// Events implements Encoder.
func (e *parquetEncoder) Events() uint64 { return e.events }

func rowOf(v *query.Event) parquetEvent {
	return parquetEvent{
		ID: v.ID, Account: v.Account, Username: v.Username, OccurredAt: v.OccurredAt.UnixMicro(),
		Entry: int32(v.Entry), EntryName: v.EntryName, Status: int32(v.Status), StatusName: v.StatusName,
		Kind: string(v.Kind), Outcome: string(v.Outcome), SessionID: v.SessionID, IP: v.IP, UserAgent: v.UserAgent,
		Service: v.Service, MFAMethod: (*string)(v.MFAMethod), DeviceID: v.DeviceID, RequestID: v.RequestID,
		Reason: v.Reason, Attributes: v.Attributes, ReceivedAt: v.ReceivedAt.UnixMicro(),
		IngestedAt: v.IngestedAt.UnixMicro(), StreamSeq: int64(v.StreamSeq), Conflict: v.Conflict,
	}
}

// sizeOf is about what a row takes.
func sizeOf(v *query.Event) int {
	const fixed = 128
	n := fixed + len(v.ID) + len(v.Username)
	for _, text := range []*string{v.SessionID, v.IP, v.UserAgent, v.DeviceID, v.RequestID, v.Reason} {
		if text != nil {
			n += len(*text)
		}
	}
	for name, value := range v.Attributes {
		n += len(name) + len(value)
	}
	return n
}
