SET NOCOUNT OFF; SET XACT_ABORT ON; SET LOCK_TIMEOUT 10000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

SELECT epoch, position, hash, CONVERT(varchar(27), recorded_at, 121) FROM head WHERE id = 1;

SELECT 1;

SELECT envelope, data, hash FROM events WHERE position > ? AND position <= ? ORDER BY position;

SELECT envelope, data, hash FROM events WHERE stream = ? AND version > ? AND version <= ? ORDER BY version;

SELECT hash FROM events WHERE position = ?;

SELECT position FROM category_heads WHERE category = ?;

SELECT position FROM head WHERE id = 1;

SELECT CONVERT(varchar(27), recorded_at, 121) FROM events WHERE position = ?;

SELECT idempotency_key, first_position, last_position, content_digest, answer FROM submissions WHERE idempotency_key IN (?);

SELECT stream, MAX(version) FROM events WHERE position BETWEEN ? AND ? GROUP BY stream;

SELECT bytes FROM blobs WHERE digest = ?;

SELECT MAX(position) FROM events;

SELECT position, stream, version, type, category, CONVERT(varchar(27), recorded_at, 121), envelope, data, hash FROM events WHERE position > ? AND position <= ? ORDER BY position;

SELECT stream FROM events GROUP BY stream HAVING COUNT(*) <> MAX(version);

SELECT category, position FROM category_heads;
