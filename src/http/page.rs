//! Pages for people's browsers: plain forms, nothing from elsewhere, no script but one of ours that the page names.
//!
//! Whatever is not written in this program goes through [`escaped`] before it becomes part of a page.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::rand::rand_bytes;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}\
                     input,button{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.5rem;margin:.25rem 0 1rem}";

/// A page.
pub(super) struct Page<'a> {
    /// What stands above it.
    pub(super) title: &'a str,
    /// Its HTML; what came from outside is escaped in it.
    pub(super) body: &'a str,
    /// Where its forms may lead, as a policy says it: `'self'`, or a scheme.
    pub(super) leads_to: &'a str,
    /// A script of ours that runs at its end.
    pub(super) script: &'a str,
}

impl Page<'_> {
    /// The answer: 200; no frame, no picture, no style and no script but those that stand in it.
    pub(super) fn answer(&self) -> HttpResponse {
        let Page { title, body, leads_to, script } = self;
        let mut random = [0; 16];
        // Without randomness nothing has a name that the policy knows, so that nothing runs.
        let nonce = rand_bytes(&mut random).map(|()| STANDARD.encode(random)).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action {leads_to}; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let script = match *script {
            "" => String::new(),
            script => format!("<script nonce=\"{nonce}\">{script}</script>"),
        };
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .body(format!(
                "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
                 <title>{title}</title><style nonce=\"{nonce}\">{STYLE}</style><h1>{title}</h1>{body}{script}</html>"
            ))
    }
}

/// The page of whoever does not get on.
pub(super) fn refused(status: StatusCode, why: &str) -> HttpResponse {
    let body = format!("<p>{}</p>", escaped(why));
    let mut answer = Page { title: "This did not work", body: &body, leads_to: "'none'", script: "" }.answer();
    *answer.status_mut() = status;
    answer
}

/// A text as it can stand in HTML, in an attribute among others.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_is_called_becomes_markup() {
        assert_eq!(escaped("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
    }

    #[test]
    fn no_two_pages_have_the_same_policy() {
        let page = Page { title: "T", body: "", leads_to: "'self'", script: "go()" };
        let policy = || {
            let answer = page.answer();
            answer.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap().to_owned()
        };
        assert_ne!(policy(), policy());
        assert!(policy().starts_with("default-src 'none'; style-src 'nonce-"));
    }
}
