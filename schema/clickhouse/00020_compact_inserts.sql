-- What an insert writes is one file a part, not two a column: a wide part of
-- events is more than forty files, each synced by itself. Merges write columns
-- apart once a part is worth it, for then questions gain by it.

-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE events MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE events_by_user MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE attempts MODIFY SETTING min_bytes_for_wide_part = 134217728;
