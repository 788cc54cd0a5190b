package faults

// What a campaign does to processes.

func (c *campaign) kill(on part) { c.process(on).Kill() }

func (c *campaign) start(on part) { c.process(on).Start() }

func (c *campaign) stop(on part) {
	if !c.hasEnded(on) {
		c.process(on).Stop()
	}
}

func (c *campaign) freeze(on part) {
	if !c.hasEnded(on) {
		c.process(on).Freeze()
	}
}

func (c *campaign) thaw(on part) {
	if !c.hasEnded(on) {
		c.process(on).Thaw()
	}
}

// hasEnded tells of a worker that it has ended by itself, as it may.
func (c *campaign) hasEnded(on part) bool {
	w, is := c.process(on).(*Worker)
	return is && c.mayEnd && w.process.HasEnded()
}

// staffed are the workers that run in this round.
func (c *campaign) staffed() []*Worker { return c.team[:c.running] }

// killAll kills everything but the query service, none of which sees another
// one's end.
func (c *campaign) killAll(part) {
	for _, w := range c.staffed() {
		if !w.process.HasEnded() {
			w.Freeze()
		}
	}
	c.NATS.Freeze()
	c.ClickHouse.Freeze()
	for _, w := range c.staffed() {
		w.Kill()
	}
	c.NATS.Kill()
	c.ClickHouse.Kill()
}

func (c *campaign) startAll(part) {
	c.ClickHouse.Launch()
	c.NATS.Start()
	for _, w := range c.staffed() {
		w.Start()
	}
	c.ClickHouse.Await()
}

// revive starts workers that have ended by themselves, where they may, as
// systemd does.
func (c *campaign) revive() {
	c.tb.Helper()
	for i, w := range c.staffed() {
		if c.mayEnd && w.process.HasEnded() {
			c.say("%s has ended by itself, and is started again", partWorker(i))
			c.summary.restarts++
			w.Start()
		}
	}
}

// checkEnded fails the test when a worker has ended and nothing asked for that.
func (c *campaign) checkEnded() {
	c.tb.Helper()
	for i, w := range c.staffed() {
		if w.process.HasEnded() {
			c.tb.Errorf("%s has ended by itself", partWorker(i))
		}
	}
}
