-- The database of the log and its login; sqlcmd puts RESEDGE_LOG_PASSWORD in from the environment. Safe to run again.
-- A binary collation: names are ASCII and compared by their bytes. Reading never waits for writing.
IF DB_ID(N'resedge') IS NULL
    CREATE DATABASE resedge COLLATE Latin1_General_BIN2;
GO
IF SUSER_ID(N'resedge') IS NULL
    CREATE LOGIN resedge WITH PASSWORD = N'$(RESEDGE_LOG_PASSWORD)', DEFAULT_DATABASE = resedge;
ELSE
    ALTER LOGIN resedge WITH PASSWORD = N'$(RESEDGE_LOG_PASSWORD)';
GO
USE resedge;
GO
IF USER_ID(N'resedge') IS NULL
    CREATE USER resedge FOR LOGIN resedge;
ALTER ROLE db_owner ADD MEMBER resedge;
GO
