//! The cookie that binds a sign-in to the browser that began it.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

use super::Begun;

/// How long it is kept, in minutes: as long as a sign-in lasts.
const MINUTES: i64 = 10;

/// Such a cookie: what it is called, and the paths that it is sent to. A name with the prefix `__Secure-` is taken over HTTPS alone.
pub(in crate::http) struct BrowserCookie {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) path: &'static str,
}

impl BrowserCookie {
    /// The cookie of a sign-in that begins.
    pub(in crate::http) fn of(&self, begun: &Begun) -> Cookie<'static> {
        // Not Strict: people come back from another site. A form from there takes a cookie along only where it is told to.
        let same_site = if begun.is_posted_back { SameSite::None } else { SameSite::Lax };
        self.with(begun.browser.clone(), same_site)
    }

    fn with(&self, browser: String, same_site: SameSite) -> Cookie<'static> {
        Cookie::build(self.name, browser)
            .path(self.path)
            .max_age(Duration::minutes(MINUTES))
            .http_only(true)
            .secure(true)
            .same_site(same_site)
            .finish()
    }

    /// What a browser shows that comes back; empty for nothing.
    pub(in crate::http) fn shown(&self, request: &HttpRequest) -> String {
        request.cookie(self.name).map(|cookie| cookie.value().to_owned()).unwrap_or_default()
    }

    /// Takes it away again.
    pub(in crate::http) fn over(&self) -> Cookie<'static> {
        let mut over = self.with(String::new(), SameSite::Lax);
        over.make_removal();
        over
    }
}
