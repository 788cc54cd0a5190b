-- Fewer and larger merges. A merge takes as many parts of like size as the base
-- says; the more parts lie in a partition, and the longer, the fewer will do. So
-- a stream that is drained is rewritten once rather than twice, and what is quiet
-- is merged as before.

-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE events MODIFY SETTING merge_selector_base = 50;
ALTER TABLE events_by_user MODIFY SETTING merge_selector_base = 50;
ALTER TABLE event_ids MODIFY SETTING merge_selector_base = 50;
ALTER TABLE user_latest MODIFY SETTING merge_selector_base = 50;
ALTER TABLE attempts MODIFY SETTING merge_selector_base = 50;
