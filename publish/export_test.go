package publish

// SegmentFile is what an outbox needs of its disk, for tests that break it.
type SegmentFile = segmentFile

// CreateSegment is the real disk.
func CreateSegment(path string) (SegmentFile, error) { return createSegment(path) }

// OpenOutboxOn is OpenOutbox on another disk.
func (p *Publisher) OpenOutboxOn(options OutboxOptions, create func(string) (SegmentFile, error)) (*Outbox, error) {
	return p.openOutbox(options, create)
}

// TakeAllPlaces stands for requests that hang inside the client library.
func (p *Publisher) TakeAllPlaces() (free func()) {
	for range cap(p.places) {
		p.places <- struct{}{}
	}
	return func() {
		for range cap(p.places) {
			<-p.places
		}
	}
}
