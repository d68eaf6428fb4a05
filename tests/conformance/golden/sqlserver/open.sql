SET NOCOUNT OFF; SET XACT_ABORT ON; SET LOCK_TIMEOUT 10000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

SELECT COUNT(*) FROM sys.databases WHERE database_id = DB_ID();

SET NOCOUNT ON;
DECLARE @got int, @what nvarchar(255) = N'resedge log in ' + SCHEMA_NAME();
EXEC @got = sp_getapplock @Resource = @what, @LockMode = 'Exclusive', @LockOwner = 'Transaction', @LockTimeout = 30000;
SET NOCOUNT OFF;
IF @got < 0 BEGIN; THROW 50001, 'another process has been creating the log for 30 seconds', 1; END;

SELECT COUNT(*) FROM head WHERE id = 1;

INSERT INTO head (id, format, epoch, position, hash, recorded_at) VALUES (1, ?, ?, 0, ?, CONVERT(datetime2(7), ?, 126));

COMMIT;

SELECT format FROM head WHERE id = 1;

SELECT is_read_committed_snapshot_on, delayed_durability FROM sys.databases WHERE database_id = DB_ID();

SELECT OBJECT_NAME(object_id), name, collation_name FROM sys.columns
WHERE object_id IN (OBJECT_ID('head'), OBJECT_ID('category_heads'), OBJECT_ID('events'), OBJECT_ID('blobs'),
    OBJECT_ID('submissions'), OBJECT_ID('leases')) AND collation_name <> 'Latin1_General_BIN2';

ROLLBACK;
