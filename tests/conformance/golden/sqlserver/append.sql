SELECT 1;

UPDATE head SET position = position WHERE id = 1;

SELECT epoch, position, hash, CONVERT(varchar(27), recorded_at, 121) FROM head WHERE id = 1;

SELECT category, position FROM category_heads;

SELECT wanted.stream, (SELECT MAX(e.version) FROM events AS e WHERE e.stream = wanted.stream COLLATE Latin1_General_BIN2) FROM (VALUES (CAST(? AS nvarchar(512))), (CAST(? AS nvarchar(512)))) AS wanted (stream);

SELECT idempotency_key, first_position, last_position, content_digest, answer FROM submissions WHERE idempotency_key IN (?);

SELECT digest FROM blobs WHERE digest IN (?);

INSERT INTO blobs (digest, bytes) VALUES (?, ?);

INSERT INTO submissions (idempotency_key, content_digest, first_position, last_position, answer) VALUES (?, ?, ?, ?, ?);

INSERT INTO events (position, stream, version, type, category, recorded_at, envelope, data, hash) VALUES (?, ?, ?, ?, ?, CONVERT(datetime2(7), ?, 126), CAST(? AS varbinary(max)), CAST(? AS varbinary(max)), ?), (?, ?, ?, ?, ?, CONVERT(datetime2(7), ?, 126), CAST(? AS varbinary(max)), CAST(? AS varbinary(max)), ?);

UPDATE category_heads SET position = ? WHERE category = ?;

INSERT INTO category_heads (position, category) VALUES (?, ?);

UPDATE head SET epoch = ?, position = ?, hash = ?, recorded_at = CONVERT(datetime2(7), ?, 126) WHERE id = 1;

COMMIT;

SELECT wanted.stream, (SELECT MAX(e.version) FROM events AS e WHERE e.stream = wanted.stream COLLATE Latin1_General_BIN2) FROM (VALUES (CAST(? AS nvarchar(512)))) AS wanted (stream);

SELECT name, epoch FROM leases WHERE name IN (?);

INSERT INTO events (position, stream, version, type, category, recorded_at, envelope, data, hash) VALUES (?, ?, ?, ?, ?, CONVERT(datetime2(7), ?, 126), CAST(? AS varbinary(max)), CAST(? AS varbinary(max)), ?);

SELECT CONVERT(varchar(27), recorded_at, 121) FROM events WHERE position = ?;

SELECT stream, MAX(version) FROM events WHERE position BETWEEN ? AND ? GROUP BY stream;

ROLLBACK;
