//! The policy of certificates (MS-XCEP): which keys a device makes, and with which digest it signs its request.

use super::soap::{Header, Request, SoapError, answer};
use super::xml::{Attributes, Writer};

/// The namespace of policies.
pub const NAMESPACE: &str = "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy";
/// What an answer is.
pub const RESPONSE: &str =
    "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy/IPolicy/GetPoliciesResponse";

const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
const NIL: Attributes<'static> = &[("xsi:nil", "true")];
/// How long before its end a certificate is renewed, in seconds.
const RENEWED_BEFORE: u64 = 60 * 86_400;

/// Makes sure that a message asks for the policy.
///
/// # Errors
/// It is another one.
pub fn read(request: &Request) -> Result<(), SoapError> {
    request.expect(NAMESPACE, "GetPolicies").map(drop)
}

/// The policy: RSA keys of 2048 bits and more, in the TPM where there is one, and SHA-256.
pub fn response(header: &Header<'_>, validity_seconds: u64) -> String {
    answer(header, |writer| {
        writer.element("GetPoliciesResponse", &[("xmlns", NAMESPACE), ("xmlns:xsi", INSTANCE)], |writer| {
            writer.element("response", &[], |writer| {
                writer.empty("policyID", &[]);
                for name in ["policyFriendlyName", "nextUpdateHours", "policiesNotChanged"] {
                    writer.empty(name, NIL);
                }
                writer.element("policies", &[], |writer| {
                    writer.element("policy", &[], |writer| {
                        writer.leaf("policyOIDReference", &[], "0");
                        writer.empty("cAs", NIL);
                        writer.element("attributes", &[], |writer| attributes(writer, validity_seconds));
                    });
                });
            });
            writer.empty("cAs", NIL);
            writer.element("oIDs", &[], |writer| {
                oid(writer, "2.16.840.1.101.3.4.2.1", "1", "0", "szOID_NIST_sha256");
                oid(writer, "1.2.840.113549.1.1.1", "3", "1", "szOID_RSA_RSA");
            });
        });
    })
}

/// How long before its end a certificate that is valid for so long is renewed, in seconds; see also the provisioning document.
pub const fn renewed_before(validity_seconds: u64) -> u64 {
    if validity_seconds / 2 < RENEWED_BEFORE { validity_seconds / 2 } else { RENEWED_BEFORE }
}

fn attributes(writer: &mut Writer, validity_seconds: u64) {
    writer.leaf("commonName", &[], "DeviceIdentity");
    // MS-MDE2 3.3.1.1: must be 3.
    writer.leaf("policySchema", &[], "3");
    writer.element("certificateValidity", &[], |writer| {
        writer.leaf("validityPeriodSeconds", &[], &validity_seconds.to_string());
        writer.leaf("renewalPeriodSeconds", &[], &renewed_before(validity_seconds).to_string());
    });
    writer.element("permission", &[], |writer| {
        writer.leaf("enroll", &[], "true");
        writer.leaf("autoEnroll", &[], "false");
    });
    writer.element("privateKeyAttributes", &[], |writer| {
        writer.leaf("minimalKeyLength", &[], "2048");
        for name in ["keySpec", "keyUsageProperty", "permissions", "algorithmOIDReference"] {
            writer.empty(name, NIL);
        }
        writer.element("cryptoProviders", &[], |writer| {
            writer.leaf("provider", &[], "Microsoft Platform Crypto Provider");
            writer.leaf("provider", &[], "Microsoft Software Key Storage Provider");
        });
    });
    writer.element("revision", &[], |writer| {
        writer.leaf("majorRevision", &[], "101");
        writer.leaf("minorRevision", &[], "0");
    });
    for name in ["supersededPolicies", "privateKeyFlags", "subjectNameFlags", "enrollmentFlags", "generalFlags"] {
        writer.empty(name, NIL);
    }
    writer.leaf("hashAlgorithmOIDReference", &[], "0");
    for name in ["rARequirements", "keyArchivalAttributes", "extensions"] {
        writer.empty(name, NIL);
    }
}

fn oid(writer: &mut Writer, value: &str, group: &str, reference: &str, name: &str) {
    writer.element("oID", &[], |writer| {
        writer.leaf("value", &[], value);
        writer.leaf("group", &[], group);
        writer.leaf("oIDReferenceID", &[], reference);
        writer.leaf("defaultName", &[], name);
    });
}

#[cfg(test)]
mod tests;
