//! Profiles: what admins want hosts to have, what each host has of it, and which hosts have to be looked at again. The
//! database itself notes the latter, so that nothing that moves a host between teams, labels or enrollments can forget to.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, bytes, id, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(profile()).await?;
        manager.create_index(unique("profile_uuid", "profile", &["uuid"])).await?;
        manager.create_index(unique("profile_name", "profile", &["team_id", "name"])).await?;
        manager.create_index(identifier()).await?;
        manager.create_table(profile_content()).await?;
        manager.create_index(plain("profile_content_of", "profile_content", &["profile_id"])).await?;
        manager.create_table(profile_label()).await?;
        manager.create_index(plain("profile_label_of", "profile_label", &["profile_id", "mode"])).await?;
        manager.create_index(plain("profile_label_label", "profile_label", &["label_id"])).await?;
        manager.create_table(profile_variable()).await?;
        manager.create_index(plain("profile_variable_name", "profile_variable", &["name"])).await?;
        manager.create_table(secret_variable()).await?;
        manager.create_index(unique("secret_variable_name", "secret_variable", &["name"])).await?;
        manager.create_table(host_profile()).await?;
        manager.create_index(plain("host_profile_status", "host_profile", &["profile_id", "status"])).await?;
        manager.create_index(plain("host_profile_content", "host_profile", &["content_id"])).await?;
        manager.create_index(unsent()).await?;
        manager.create_index(to_verify()).await?;
        manager.create_table(host_profile_list()).await?;
        manager.create_index(plain("host_profile_list_host", "host_profile_list", &["host_id"])).await?;
        manager.create_table(profile_marking()).await?;
        let host_id = ColumnDef::new("host_id").big_integer().not_null().primary_key().take();
        manager.create_table(Table::create().table("host_marking").col(host_id).take()).await?;
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

fn boolean(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().default(false).take()
}

fn profile() -> TableCreateStatement {
    Table::create()
        .table("profile")
        .col(id())
        .col(text("uuid"))
        .col(big("team_id"))
        .col(small("kind"))
        .col(text("name"))
        .col(text("identifier"))
        .col(small("scope"))
        .col(small("part"))
        .col(big("content_id"))
        .col(boolean("managed"))
        .col(small("rollout_percent"))
        .col(big_null("rollout_max_failures"))
        .col(big_null("rollout_stopped_at"))
        .col(big("created_at"))
        .col(big("uploaded_at"))
        .take()
}

/// Windows profiles have no identifier.
fn identifier() -> IndexCreateStatement {
    let mut index = unique("profile_identifier", "profile", &["team_id", "kind", "identifier"]);
    index.and_where(Expr::col("identifier").ne("")).take()
}

fn profile_content() -> TableCreateStatement {
    Table::create()
        .table("profile_content")
        .col(id())
        .col(big("profile_id"))
        .col(bytes("body"))
        .col(text("checksum"))
        .col(text("version"))
        .col(big("created_at"))
        .take()
}

fn profile_label() -> TableCreateStatement {
    Table::create()
        .table("profile_label")
        .col(id())
        .col(big("profile_id"))
        .col(big_null("label_id"))
        .col(text("label_name"))
        .col(small("mode"))
        .take()
}

fn profile_variable() -> TableCreateStatement {
    Table::create()
        .table("profile_variable")
        .col(big("profile_id"))
        .col(text("name"))
        .primary_key(Index::create().col("profile_id").col("name"))
        .take()
}

fn secret_variable() -> TableCreateStatement {
    Table::create()
        .table("secret_variable")
        .col(id())
        .col(text("name"))
        .col(bytes("value"))
        .col(big("created_at"))
        .col(big("updated_at"))
        .take()
}

fn host_profile() -> TableCreateStatement {
    Table::create()
        .table("host_profile")
        .col(big("host_id"))
        .col(big("profile_id"))
        .col(text("uuid"))
        .col(small("kind"))
        .col(text("identifier"))
        .col(text("name"))
        .col(small("scope"))
        .col(small("part"))
        .col(big("content_id"))
        .col(text("version"))
        .col(big_null("had_content_id"))
        .col(small("operation"))
        .col(small("status"))
        .col(text("detail"))
        .col(text_null("command_uuid"))
        .col(big_null("sent_content_id"))
        .col(small("retries"))
        .col(big_null("acknowledged_at"))
        .col(big_null("verify_at"))
        .col(big("changed_at"))
        .primary_key(Index::create().col("host_id").col("profile_id"))
        .take()
}

/// The manager reads what is to be delivered; most rows are not.
fn unsent() -> IndexCreateStatement {
    let mut index = plain("host_profile_unsent", "host_profile", &["host_id"]);
    index.and_where(Expr::col("status").eq(Expr::cust("0"))).take()
}

/// The same for what is to be verified.
fn to_verify() -> IndexCreateStatement {
    let mut index = plain("host_profile_to_verify", "host_profile", &["verify_at", "host_id"]);
    index.and_where(Expr::col("verify_at").is_not_null()).take()
}

/// What hosts said they have, and when.
fn host_profile_list() -> TableCreateStatement {
    Table::create()
        .table("host_profile_list")
        .col(ColumnDef::new("enrollment_id").big_integer().not_null().primary_key())
        .col(big("host_id"))
        .col(bytes("profiles"))
        .col(big_null("last_sync_at"))
        .col(text("sync_status"))
        .take()
}

/// Profiles that are to be marked on all hosts they may be for, and how far that has come.
fn profile_marking() -> TableCreateStatement {
    Table::create()
        .table("profile_marking")
        .col(ColumnDef::new("profile_id").big_integer().not_null().primary_key())
        .col(big("after_host_id"))
        .take()
}

/// Notes hosts that are to be looked at again; without any profile there is nothing to look at.
const SQLITE: [&str; 6] = [
    "CREATE TRIGGER host_moved AFTER UPDATE OF team_id, platform, mdm_status, deleted_at ON host \
     WHEN (OLD.team_id, OLD.platform, OLD.mdm_status, OLD.deleted_at IS NULL) \
     IS NOT (NEW.team_id, NEW.platform, NEW.mdm_status, NEW.deleted_at IS NULL) AND EXISTS (SELECT 1 FROM profile) \
     BEGIN INSERT INTO host_marking (host_id) VALUES (NEW.id) ON CONFLICT (host_id) DO NOTHING; END",
    "CREATE TRIGGER host_came AFTER INSERT ON host WHEN NEW.mdm_status IN (1, 2, 3) AND EXISTS (SELECT 1 FROM profile) \
     BEGIN INSERT INTO host_marking (host_id) VALUES (NEW.id) ON CONFLICT (host_id) DO NOTHING; END",
    "CREATE TRIGGER enrollment_came AFTER INSERT ON enrollment WHEN NEW.enabled AND EXISTS (SELECT 1 FROM profile) \
     BEGIN INSERT INTO host_marking (host_id) VALUES (NEW.host_id) ON CONFLICT (host_id) DO NOTHING; END",
    "CREATE TRIGGER enrollment_turned AFTER UPDATE OF enabled, awaiting_configuration, generation ON enrollment \
     WHEN (OLD.enabled, OLD.awaiting_configuration, OLD.generation) \
     IS NOT (NEW.enabled, NEW.awaiting_configuration, NEW.generation) AND EXISTS (SELECT 1 FROM profile) \
     BEGIN INSERT INTO host_marking (host_id) VALUES (NEW.host_id) ON CONFLICT (host_id) DO NOTHING; END",
    "CREATE TRIGGER label_given AFTER INSERT ON label_host \
     WHEN EXISTS (SELECT 1 FROM profile_label WHERE label_id = NEW.label_id) \
     BEGIN INSERT INTO host_marking (host_id) VALUES (NEW.host_id) ON CONFLICT (host_id) DO NOTHING; END",
    "CREATE TRIGGER label_taken AFTER DELETE ON label_host \
     WHEN EXISTS (SELECT 1 FROM profile_label WHERE label_id = OLD.label_id) \
     BEGIN INSERT INTO host_marking (host_id) VALUES (OLD.host_id) ON CONFLICT (host_id) DO NOTHING; END",
];

/// The same.
const POSTGRES: [&str; 8] = [
    "CREATE FUNCTION mark_host() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF EXISTS (SELECT 1 FROM profile) THEN \
     IF TG_TABLE_NAME = 'host' THEN \
     INSERT INTO host_marking (host_id) VALUES (NEW.id) ON CONFLICT (host_id) DO NOTHING; \
     ELSE INSERT INTO host_marking (host_id) VALUES (NEW.host_id) ON CONFLICT (host_id) DO NOTHING; END IF; \
     END IF; RETURN NULL; END $$",
    "CREATE FUNCTION mark_labelled() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE moved label_host; BEGIN \
     IF TG_OP = 'DELETE' THEN moved := OLD; ELSE moved := NEW; END IF; \
     IF EXISTS (SELECT 1 FROM profile_label WHERE label_id = moved.label_id) THEN \
     INSERT INTO host_marking (host_id) VALUES (moved.host_id) ON CONFLICT (host_id) DO NOTHING; \
     END IF; RETURN NULL; END $$",
    "CREATE TRIGGER host_moved AFTER UPDATE OF team_id, platform, mdm_status, deleted_at ON host FOR EACH ROW \
     WHEN ((OLD.team_id, OLD.platform, OLD.mdm_status, OLD.deleted_at IS NULL) IS DISTINCT FROM \
     (NEW.team_id, NEW.platform, NEW.mdm_status, NEW.deleted_at IS NULL)) EXECUTE FUNCTION mark_host()",
    "CREATE TRIGGER host_came AFTER INSERT ON host FOR EACH ROW WHEN (NEW.mdm_status IN (1, 2, 3)) \
     EXECUTE FUNCTION mark_host()",
    "CREATE TRIGGER enrollment_came AFTER INSERT ON enrollment FOR EACH ROW WHEN (NEW.enabled) \
     EXECUTE FUNCTION mark_host()",
    "CREATE TRIGGER enrollment_turned AFTER UPDATE OF enabled, awaiting_configuration, generation ON enrollment \
     FOR EACH ROW WHEN ((OLD.enabled, OLD.awaiting_configuration, OLD.generation) IS DISTINCT FROM \
     (NEW.enabled, NEW.awaiting_configuration, NEW.generation)) EXECUTE FUNCTION mark_host()",
    "CREATE TRIGGER label_given AFTER INSERT ON label_host FOR EACH ROW EXECUTE FUNCTION mark_labelled()",
    "CREATE TRIGGER label_taken AFTER DELETE ON label_host FOR EACH ROW EXECUTE FUNCTION mark_labelled()",
];
