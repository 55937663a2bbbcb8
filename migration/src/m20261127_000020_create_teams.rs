//! Teams, hosts that were deleted, and how many hosts there are of each kind: counted by the database itself, so that
//! nobody has to look at all hosts and no count drifts.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, id, small, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(team()).await?;
        manager.create_index(unique("team_folded_name", "team", &["folded_name"])).await?;
        for (table, column) in [
            ("host", "deleted_at"),
            ("enroll_secret", "team_id"),
            ("scep_challenge", "team_id"),
            ("identity", "team_id"),
        ] {
            manager.alter_table(Table::alter().table(table).add_column(big_null(column)).take()).await?;
        }
        for (name, columns) in [
            ("host_team", ["team_id", "mdm_status", "id"].as_slice()),
            ("host_status", &["mdm_status", "id"]),
            ("host_name", &["computer_name", "id"]),
        ] {
            manager.create_index(plain(name, "host", columns)).await?;
        }
        manager.create_index(deleted()).await?;
        manager.create_table(host_tally()).await?;
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Sqlite => &SQLITE,
            _ => &POSTGRES,
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

fn team() -> TableCreateStatement {
    Table::create()
        .table("team")
        .col(id())
        .col(text("name"))
        .col(text("folded_name"))
        .col(text("description"))
        .col(big("created_at"))
        .take()
}

/// Deleted hosts are few; the one who looks for them finds nobody else.
fn deleted() -> IndexCreateStatement {
    Index::create()
        .name("host_deleted")
        .table("host")
        .col("deleted_at")
        .and_where(Expr::col("deleted_at").is_not_null())
        .take()
}

/// How many hosts are of a team (0: of none), a platform and a status; deleted ones are not counted.
fn host_tally() -> TableCreateStatement {
    Table::create()
        .table("host_tally")
        .col(big("team_id"))
        .col(text("platform"))
        .col(small("mdm_status"))
        .col(big("hosts"))
        .primary_key(Index::create().col("team_id").col("platform").col("mdm_status"))
        .take()
}

/// Counts the hosts that are there already, and from now on every change.
const SQLITE: [&str; 4] = [
    "INSERT INTO host_tally (team_id, platform, mdm_status, hosts) \
     SELECT COALESCE(team_id, 0), platform, mdm_status, count(*) FROM host WHERE deleted_at IS NULL GROUP BY 1, 2, 3",
    "CREATE TRIGGER host_counted AFTER INSERT ON host WHEN NEW.deleted_at IS NULL BEGIN \
     INSERT INTO host_tally (team_id, platform, mdm_status, hosts) \
     VALUES (COALESCE(NEW.team_id, 0), NEW.platform, NEW.mdm_status, 1) \
     ON CONFLICT (team_id, platform, mdm_status) DO UPDATE SET hosts = hosts + 1; END",
    "CREATE TRIGGER host_discounted AFTER DELETE ON host WHEN OLD.deleted_at IS NULL BEGIN \
     UPDATE host_tally SET hosts = hosts - 1 WHERE team_id = COALESCE(OLD.team_id, 0) AND platform = OLD.platform \
     AND mdm_status = OLD.mdm_status; END",
    "CREATE TRIGGER host_recounted AFTER UPDATE OF team_id, platform, mdm_status, deleted_at ON host \
     WHEN (OLD.team_id, OLD.platform, OLD.mdm_status, OLD.deleted_at IS NULL) \
     IS NOT (NEW.team_id, NEW.platform, NEW.mdm_status, NEW.deleted_at IS NULL) BEGIN \
     UPDATE host_tally SET hosts = hosts - 1 WHERE OLD.deleted_at IS NULL AND team_id = COALESCE(OLD.team_id, 0) \
     AND platform = OLD.platform AND mdm_status = OLD.mdm_status; \
     INSERT INTO host_tally (team_id, platform, mdm_status, hosts) \
     SELECT COALESCE(NEW.team_id, 0), NEW.platform, NEW.mdm_status, 1 WHERE NEW.deleted_at IS NULL \
     ON CONFLICT (team_id, platform, mdm_status) DO UPDATE SET hosts = hosts + 1; END",
];

/// The same.
const POSTGRES: [&str; 5] = [
    SQLITE[0],
    "CREATE FUNCTION host_recount() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL THEN \
     UPDATE host_tally SET hosts = hosts - 1 WHERE team_id = COALESCE(OLD.team_id, 0) AND platform = OLD.platform \
     AND mdm_status = OLD.mdm_status; END IF; \
     IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN \
     INSERT INTO host_tally AS tally (team_id, platform, mdm_status, hosts) \
     VALUES (COALESCE(NEW.team_id, 0), NEW.platform, NEW.mdm_status, 1) \
     ON CONFLICT (team_id, platform, mdm_status) DO UPDATE SET hosts = tally.hosts + 1; END IF; RETURN NULL; END $$",
    "CREATE TRIGGER host_counted AFTER INSERT ON host FOR EACH ROW EXECUTE FUNCTION host_recount()",
    "CREATE TRIGGER host_discounted AFTER DELETE ON host FOR EACH ROW EXECUTE FUNCTION host_recount()",
    "CREATE TRIGGER host_recounted AFTER UPDATE OF team_id, platform, mdm_status, deleted_at ON host FOR EACH ROW \
     WHEN ((OLD.team_id, OLD.platform, OLD.mdm_status, OLD.deleted_at) IS DISTINCT FROM \
     (NEW.team_id, NEW.platform, NEW.mdm_status, NEW.deleted_at)) EXECUTE FUNCTION host_recount()",
];
