//! What a page from elsewhere can do to the store, and learn of it: nothing.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};

use crate::page::Page;
use crate::store::Store;
use crate::webdriver::Browser;

/// The console's port under another name, which its owner has rebound to this machine.
const REBOUND: &str = "--host-resolver-rules=MAP evil.example 127.0.0.1";

/// Tries everything that a page can send, and returns what it could read. `CONSOLE` is the
/// console's URL. Each attempt ends with the browser's answer, not after a time.
const ATTEMPTS: &str = r#"
    const control = JSON.stringify({ action: 'kill_all' });
    const read = {};
    const attempt = async (name, send) => {
        try {
            read[name] = await send();
        } catch (error) {
            read[name] = null;
        }
    };
    const text = async (response) => (response.type === 'opaque' ? null : response.text());
    const post = (headers, more) => async () => text(await fetch(CONSOLE + '/api/control',
        { method: 'POST', headers, body: control, ...more }));
    await attempt('fetch', post({ 'Content-Type': 'application/json', 'X-Toystore-Console': '1' }));
    await attempt('fetch with cookies', post({ 'X-Toystore-Console': '1' }, { credentials: 'include' }));
    await attempt('text/plain', post({ 'Content-Type': 'text/plain' }, { mode: 'no-cors' }));
    await attempt('no type', post({}, { mode: 'no-cors' }));
    await attempt('beacon', async () => {
        navigator.sendBeacon(CONSOLE + '/api/control', control);
        return null;
    });
    for (const path of ['/', '/api/about', '/api/history', '/assets/main.js']) {
        await attempt('get ' + path, async () => text(await fetch(CONSOLE + path)));
        await attempt('get opaque ' + path, async () => text(await fetch(CONSOLE + path, { mode: 'no-cors' })));
    }
    const loaded = (element, name) => new Promise((resolve) => {
        element.addEventListener('load', () => resolve(name));
        element.addEventListener('error', () => resolve(null));
        document.body.append(element);
    });
    const element = (name, attributes) => Object.assign(document.createElement(name), attributes);
    await attempt('image', () => loaded(element('img', { src: CONSOLE + '/assets/icon.svg' }), 'loaded'));
    await attempt('image of a control',
        () => loaded(element('img', { src: CONSOLE + '/api/control?action=kill_all' }), 'loaded'));
    await attempt('script', () => loaded(element('script', { src: CONSOLE + '/assets/main.js' }), 'loaded'));
    await attempt('style', () => loaded(element('link',
        { rel: 'stylesheet', href: CONSOLE + '/assets/theme.css' }), 'loaded'));
    const opened = (socket) => new Promise((resolve) => {
        for (const name of ['open', 'message', 'frame']) {
            socket.addEventListener(name, (event) => resolve(name + ' ' + event.data));
        }
        socket.addEventListener('error', () => {
            socket.close();
            resolve(null);
        });
    });
    await attempt('events', () => opened(new EventSource(CONSOLE + '/api/feed?after=0')));
    await attempt('socket', () => opened(new WebSocket(CONSOLE.replace('http', 'ws') + '/api/feed')));
    await attempt('frame', async () => {
        const frame = element('iframe', { src: CONSOLE + '/' });
        // A frame that was refused loads an error page.
        await loaded(frame, 'loaded');
        return frame.contentDocument?.body?.textContent || null;
    });
    for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
        await attempt('form ' + enctype, async () => {
            const target = element('iframe', { name: 'target ' + enctype });
            document.body.append(target);
            const form = element('form', { action: CONSOLE + '/api/control', method: 'post', enctype,
                target: target.name });
            // As text/plain this is JSON: {"action":"kill_all","x":"="}
            form.append(element('input', { name: '{"action":"kill_all","x":"', value: '"}' }));
            document.body.append(form);
            const answered = new Promise((resolve) => target.addEventListener('load', resolve));
            form.submit();
            await answered;
            return target.contentDocument?.body?.textContent || null;
        });
    }
    return read;
"#;

/// Another server on this machine.
async fn foreign_server() -> u16 {
    let page = Html("<!doctype html><title>Elsewhere</title><body><p>Harmless.</p></body>");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Router::new().route("/", get(move || async move { page }));
    tokio::spawn(async move { axum::serve(listener, server).await });
    port
}

/// What a page at an address can read of the console at another one.
async fn tried(browser: &Browser, from: &str, console: &str) -> serde_json::Map<String, Value> {
    browser.open(from).await;
    let read = browser.run(&format!("const CONSOLE = {};\n{ATTEMPTS}", crate::page::quoted(console))).await;
    let Value::Object(read) = read else { panic!("{read}") };
    read
}

#[tokio::test]
async fn a_foreign_page_kills_nothing_and_reads_nothing() {
    let store = Store::start().await;
    let before = store.processes();
    let browser = Browser::with_arguments(&[REBOUND]).await;
    let foreign = foreign_server().await;
    let port = store.console.rsplit(':').next().unwrap();
    for from in ["127.0.0.1", "localhost", "evil.example"] {
        for console in ["localhost", "127.0.0.1", "[::1]", "evil.example"] {
            let read = tried(&browser, &format!("http://{from}:{foreign}/"), &format!("http://{console}:{port}")).await;
            assert!(read.len() > 20, "{read:?}");
            let readable: Vec<_> = read.iter().filter(|(_, value)| !value.is_null()).collect();
            assert!(readable.is_empty(), "a page at {from} reads of {console}: {readable:?}");
            // It may not even show the console, so that nobody is led to click at it unseen.
            browser.enter_frame().await;
            assert_eq!(browser.run("return document.querySelector('#headline, #heal-all')").await, Value::Null);
            browser.leave_frame().await;
        }
    }

    // Under a name that was rebound, the console's port is of the same origin as the page.
    browser.open(&format!("http://evil.example:{port}/")).await;
    assert_eq!(browser.run("return document.querySelector('#headline')").await, Value::Null);
    let same_origin = "const ask = (path, more) => fetch(path, more).then(it => it.status, () => 0); \
                       return Promise.all([ask('/'), ask('/api/history'), ask('/api/feed'), ask('/api/control', { \
                       method: 'POST', body: '{\"action\":\"kill_all\"}', headers: { 'Content-Type': \
                       'application/json', 'X-Toystore-Console': '1' } })])";
    let statuses = browser.run(same_origin).await;
    assert!(statuses.as_array().unwrap().iter().all(|status| *status != 200), "{statuses}");

    // The console's own page can. Requests before this one have been answered.
    let page = Page::of(browser, &store.console).await;
    page.press_button("[data-action=cache]").await;
    page.says("#headline", "The caches are off.").await;
    let controls: Vec<_> = store.events().await.into_iter().filter(|event| event["kind"] == "control").collect();
    assert_eq!(controls.len(), 1, "{controls:?}");
    let orders = |processes: Vec<crate::store::Running>| -> Vec<_> {
        // To switch the cache off restarts the frontend.
        processes.into_iter().filter(|process| process.name != "frontend").collect()
    };
    assert_eq!(orders(store.processes()), orders(before));
    assert_eq!(json!(page.count("[data-process][data-state=stopped]").await), 0);
}
