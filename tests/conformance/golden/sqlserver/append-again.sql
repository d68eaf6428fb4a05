SET NOCOUNT OFF; SET XACT_ABORT ON; SET LOCK_TIMEOUT 10000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

UPDATE head SET position = position WHERE id = 1;

SELECT epoch, position, hash, CONVERT(varchar(27), recorded_at, 121) FROM head WHERE id = 1;

SELECT category, position FROM category_heads;

SELECT hash FROM events WHERE position = ?;

ROLLBACK;
