package export

// AppendCell appends a text as one cell of CSV, quoted and guarded as in an export,
// for whoever writes records of something else.
func AppendCell(b []byte, text string) []byte { return appendCell(b, text) }
