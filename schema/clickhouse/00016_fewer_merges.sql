-- A merge takes ten parts at least. The default merges fewer and so writes every
-- row more often: on a stream that is drained, merges were half of all the work.

-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 10;
ALTER TABLE events_by_user MODIFY SETTING min_parts_to_merge_at_once = 10;
ALTER TABLE event_ids MODIFY SETTING min_parts_to_merge_at_once = 10;
ALTER TABLE user_latest MODIFY SETTING min_parts_to_merge_at_once = 10;
ALTER TABLE attempts MODIFY SETTING min_parts_to_merge_at_once = 10;
