//! An identity provider keeps people and groups here by SCIM, and profiles name what is known of a host's owner.

use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::DeviceOptions;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::Answer;
use crate::enroll_sign_in::{CALLBACK, enrolled_by};
use crate::people::{ask, done};
use crate::profiles_delivery::{has, pairs, profile, replace, until};
use crate::sso::IdentityProvider;
use crate::world::{DEVICE, SECRET, World, assert_sound, on_each_store, on_each_store_with};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A token that may do nothing else.
async fn token(world: &World) -> String {
    let robot = json!({ "name": "idp", "email": "idp@example.com", "api_only": true, "global_role": "admin" });
    let robot = done(world, &world.app.token, Method::POST, "/users/admin", robot).await["user"]["id"].clone();
    let body = json!({ "name": "idp", "scopes": ["scim"] });
    let made = done(world, &world.app.token, Method::POST, &format!("/users/{robot}/tokens"), body).await;
    made["token"]["token"].as_str().unwrap().to_owned()
}

async fn scim(world: &World, key: &str, method: Method, path: &str, body: Value) -> Answer {
    ask(world, Some(key), method, &format!("/scim/{path}"), body).await
}

fn ada() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": "00u1", "userName": "Ada@Example.com", "active": true, "title": "Countess",
        "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [{ "value": "countess@example.com", "type": "home" }, { "value": "ada@example.com", "primary": true }],
        ENTERPRISE: { "department": "Engines" },
    })
}

#[actix::test]
async fn people_and_groups_are_made_found_changed_and_deleted() {
    on_each_store(async |world| {
        let key = &token(world).await;
        let made = scim(world, key, Method::POST, "Users", ada()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json);
        let id = made.json["id"].as_str().unwrap().to_owned();
        assert_eq!(made.json["emails"][1], json!({ "value": "ada@example.com", "type": "", "primary": true }));
        let twice = scim(world, key, Method::POST, "Users", json!({ "userName": "ada@EXAMPLE.com" })).await;
        assert_eq!((twice.status, &twice.json["scimType"]), (StatusCode::CONFLICT, &json!("uniqueness")));
        for filter in
            ["userName eq \"ADA@example.com\"", "externalId eq \"00u1\"", "emails.value eq \"ada@example.com\""]
        {
            let filter = filter.replace(' ', "%20").replace('"', "%22");
            let found = scim(world, key, Method::GET, &format!("Users?filter={filter}"), Value::Null).await;
            assert_eq!((&found.json["totalResults"], &found.json["Resources"][0]["id"]), (&json!(1), &json!(id)));
        }
        let none = scim(world, key, Method::GET, "Users?filter=userName%20eq%20%22x%22", Value::Null).await;
        assert_eq!(none.json["Resources"], json!([]));
        let wrong = scim(world, key, Method::GET, "Users?filter=userName%20co%20%22x%22", Value::Null).await;
        assert_eq!((wrong.status, &wrong.json["scimType"]), (StatusCode::BAD_REQUEST, &json!("invalidFilter")));

        let group =
            scim(world, key, Method::POST, "Groups", json!({ "displayName": "Staff", "members": [{ "value": id }] }))
                .await;
        assert_eq!(group.status, StatusCode::CREATED, "{}", group.json);
        let staff = group.json["id"].as_str().unwrap().to_owned();
        let shown = scim(world, key, Method::GET, &format!("Users/{id}"), Value::Null).await;
        assert_eq!(shown.json["groups"], json!([{ "value": staff, "display": "Staff" }]));
        let stranger = json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": "nobody" }] }] });
        let refused = scim(world, key, Method::PATCH, &format!("Groups/{staff}"), stranger).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.json);
        let leave = json!({ "Operations": [{ "op": "Remove", "path": format!("members[value eq \"{id}\"]") }] });
        let left = scim(world, key, Method::PATCH, &format!("Groups/{staff}"), leave).await;
        assert_eq!((left.status, &left.json["members"]), (StatusCode::OK, &json!([])));

        let off = json!({ "Operations": [{ "op": "Replace", "path": "active", "value": "False" }] });
        let changed = scim(world, key, Method::PATCH, &format!("Users/{id}"), off).await;
        assert_eq!((&changed.json["active"], &changed.json["userName"]), (&json!(false), &json!("Ada@Example.com")));
        let nameless = scim(world, key, Method::PUT, &format!("Users/{id}"), json!({ "active": true })).await;
        assert_eq!(nameless.status, StatusCode::BAD_REQUEST);
        for path in [format!("Users/{id}"), format!("Groups/{staff}")] {
            assert_eq!(scim(world, key, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
            for method in [Method::GET, Method::DELETE] {
                assert_eq!(scim(world, key, method, &path, Value::Null).await.status, StatusCode::NOT_FOUND);
            }
        }
        for path in ["ServiceProviderConfig", "ResourceTypes", "Schemas"] {
            assert_eq!(scim(world, key, Method::GET, path, Value::Null).await.status, StatusCode::OK, "{path}");
        }
        assert_eq!(ask(world, Some(key), Method::GET, "/hosts", Value::Null).await.status, StatusCode::FORBIDDEN);
        assert_eq!(ask(world, None, Method::GET, "/scim/Users", Value::Null).await.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[actix::test]
async fn profiles_follow_what_the_provider_says_of_the_owner() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    on_each_store_with(
        |settings| provider.set_for_end_users(settings),
        async |world| {
            let key = &token(world).await;
            let person = scim(world, key, Method::POST, "Users", ada()).await.json["id"].as_str().unwrap().to_owned();
            let members = json!({ "displayName": "Staff", "members": [{ "value": person }] });
            let staff = scim(world, key, Method::POST, "Groups", members).await.json["id"].as_str().unwrap().to_owned();
            let mut mac = world.device(Family::Mac, 1, DeviceOptions::default());
            enrolled_by(world, &mut mac, "ada@example.com", SECRET).await;
            let variables = ["USERNAME", "FULL_NAME", "DEPARTMENT", "GROUPS"];
            let text = variables.map(|name| format!("$FLEET_VAR_HOST_END_USER_IDP_{name}")).join(" ");
            replace(world, None, &[("owner", profile("owner", &text, None), json!({}))]).await;
            until(world, &mut mac, &[("owner", "verified")]).await;
            assert_eq!(has(&mac), pairs(&[("com.example.owner", "Ada@Example.com Ada Lovelace Engines Staff")]));
            let owner = &world.host(&mac).await["end_users"][0];
            assert_eq!((&owner["idp_groups"], &owner["idp_department"]), (&json!(["Staff"]), &json!("Engines")));

            let changes = [
                (
                    format!("Users/{person}"),
                    json!([{ "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "Numbers" }]),
                    "Ada@Example.com Ada Lovelace Numbers Staff",
                ),
                (
                    format!("Groups/{staff}"),
                    json!([{ "op": "replace", "value": { "displayName": "Everybody" } }]),
                    "Ada@Example.com Ada Lovelace Numbers Everybody",
                ),
            ];
            for (path, operations, expected) in changes {
                let changed = scim(world, key, Method::PATCH, &path, json!({ "Operations": operations })).await;
                assert_eq!(changed.status, StatusCode::OK, "{}", changed.json);
                crate::app::eventually("the profile says it", async || {
                    mac.work(DEVICE).await.unwrap();
                    (has(&mac) == pairs(&[("com.example.owner", expected)])).then_some(())
                })
                .await;
            }
            until(world, &mut mac, &[("owner", "verified")]).await;
            assert_sound(&mac);
        },
    )
    .await;
}
