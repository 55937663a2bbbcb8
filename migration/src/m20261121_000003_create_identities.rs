//! Certificates: our authorities, the identities we issued, and the promises that let a device ask for one.

use sea_orm_migration::prelude::*;

use crate::m20261121_000001_create_hosts::{plain, unique};
use crate::{big, big_null, bytes, small, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(authority()).await?;
        manager.create_table(push_certificate()).await?;
        manager.create_table(identity()).await?;
        manager.create_index(unique("identity_serial", "identity", &["serial"])).await?;
        manager.create_index(plain("identity_enrollment", "identity", &["enrollment_id"])).await?;
        manager.create_table(scep_challenge()).await?;
        manager.create_index(plain("scep_challenge_age", "scep_challenge", &["expires_at"])).await?;
        manager.create_table(scep_transaction()).await
    }
}

/// Key pairs of our own, by name; private keys are sealed.
fn authority() -> TableCreateStatement {
    Table::create()
        .table("authority")
        .col(ColumnDef::new("name").text().not_null().primary_key())
        .col(text("certificate"))
        .col(bytes("private_key"))
        .col(big("created_at"))
        .take()
}

fn push_certificate() -> TableCreateStatement {
    Table::create()
        .table("push_certificate")
        .col(ColumnDef::new("topic").text().not_null().primary_key())
        .col(text("certificate"))
        .col(bytes("private_key"))
        .col(big("not_after"))
        .col(big("updated_at"))
        .take()
}

/// A certificate that we issued, found by its hash; bound to one enrollment once a device used it.
fn identity() -> TableCreateStatement {
    Table::create()
        .table("identity")
        .col(ColumnDef::new("fingerprint").blob().not_null().primary_key())
        .col(text("serial"))
        .col(bytes("certificate"))
        .col(big("not_before"))
        .col(big("not_after"))
        .col(small("state"))
        .col(big_null("enrollment_id"))
        .col(ColumnDef::new("renewal").boolean().not_null())
        .col(text_null("promised_serial"))
        .col(text_null("promised_uuid"))
        .col(big("issued_at"))
        .col(big_null("bound_at"))
        .take()
}

/// One-time passwords for a certificate, kept as hashes, with what the profile that carried one was made for.
fn scep_challenge() -> TableCreateStatement {
    Table::create()
        .table("scep_challenge")
        .col(ColumnDef::new("hash").blob().not_null().primary_key())
        .col(text_null("promised_serial"))
        .col(text_null("promised_uuid"))
        .col(big_null("renews_enrollment_id"))
        .col(big("created_at"))
        .col(big("expires_at"))
        .col(big_null("used_at"))
        .take()
}

/// Answered requests: the same transaction and request get the same certificate again.
fn scep_transaction() -> TableCreateStatement {
    Table::create()
        .table("scep_transaction")
        .col(bytes("request_hash"))
        .col(text("transaction_id"))
        .col(bytes("fingerprint"))
        .col(big("created_at"))
        .primary_key(Index::create().col("transaction_id").col("request_hash"))
        .take()
}
