-- The database of the log, the login that owns it (for `resedge admin`), and the services' own, which reads and writes
-- rows and changes nothing else. sqlcmd puts the passwords in from the environment. Safe to run again.
-- A binary collation: names are ASCII and compared by their bytes.
IF DB_ID(N'resedge') IS NULL
    CREATE DATABASE resedge COLLATE Latin1_General_BIN2;
GO
IF SUSER_ID(N'resedge_owner') IS NULL
    CREATE LOGIN resedge_owner WITH PASSWORD = N'$(RESEDGE_LOG_OWNER_PASSWORD)', DEFAULT_DATABASE = resedge;
ELSE
    ALTER LOGIN resedge_owner WITH PASSWORD = N'$(RESEDGE_LOG_OWNER_PASSWORD)';
IF SUSER_ID(N'resedge') IS NULL
    CREATE LOGIN resedge WITH PASSWORD = N'$(RESEDGE_LOG_PASSWORD)', DEFAULT_DATABASE = resedge;
ELSE
    ALTER LOGIN resedge WITH PASSWORD = N'$(RESEDGE_LOG_PASSWORD)';
GO
USE resedge;
GO
IF USER_ID(N'resedge_owner') IS NULL
    CREATE USER resedge_owner FOR LOGIN resedge_owner WITH DEFAULT_SCHEMA = dbo;
IF USER_ID(N'resedge') IS NULL
    CREATE USER resedge FOR LOGIN resedge WITH DEFAULT_SCHEMA = dbo;
GO
ALTER ROLE db_owner ADD MEMBER resedge_owner;
ALTER ROLE db_datareader ADD MEMBER resedge;
ALTER ROLE db_datawriter ADD MEMBER resedge;
GO
