SET NOCOUNT OFF; SET XACT_ABORT ON; SET LOCK_TIMEOUT 10000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

UPDATE head SET position = position WHERE id = 1;

UPDATE leases SET holder = ?, epoch = epoch + 1, expires_at = DATEDIFF_BIG(MILLISECOND, CAST('1970-01-01T00:00:00' AS datetime2(7)), SYSUTCDATETIME()) + ? WHERE name = ? AND (holder = ? OR expires_at <= DATEDIFF_BIG(MILLISECOND, CAST('1970-01-01T00:00:00' AS datetime2(7)), SYSUTCDATETIME()));

SELECT epoch FROM leases WHERE name = ?;

INSERT INTO leases (name, holder, epoch, expires_at) VALUES (?, ?, 1, DATEDIFF_BIG(MILLISECOND, CAST('1970-01-01T00:00:00' AS datetime2(7)), SYSUTCDATETIME()) + ?);

COMMIT;

SELECT 1;

UPDATE leases SET expires_at = DATEDIFF_BIG(MILLISECOND, CAST('1970-01-01T00:00:00' AS datetime2(7)), SYSUTCDATETIME()) + ? WHERE name = ? AND holder = ? AND epoch = ?;

UPDATE leases SET expires_at = 0, epoch = epoch + 1 WHERE name = ? AND holder = ? AND epoch = ?;
