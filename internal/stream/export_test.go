package stream

// Remember bounds how many parked messages the parker remembers.
func (p *Parker) Remember(most int) { p.before.most = most }
