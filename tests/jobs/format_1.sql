BEGIN TRANSACTION;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    job INTEGER NOT NULL,
    name TEXT NOT NULL,
    request TEXT NOT NULL,
    stage TEXT NOT NULL,
    sent REAL,
    sent_date REAL,
    order_id TEXT,
    order_state TEXT,
    error TEXT,
    error_type TEXT,
    changed REAL NOT NULL,
    delivered_to TEXT NOT NULL DEFAULT '',
    files TEXT NOT NULL DEFAULT '[]',
    checksum INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "entries" VALUES(1,X'59E1313BEC1286290F0D78E8A849559100C994C49D12C80AD98EF728AAA36113',1,'field 0','{"name":"field 0","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','downloaded',NULL,NULL,'id-0','success',NULL,NULL,1767225600.0,'','[["id-0/a.tif",7,"sha256:00",false],["id-0/manifest.json",9,"",true]]',1389107785);
INSERT INTO "entries" VALUES(2,X'22949EB5B28890A0F4AB53A9B7EF4C4629D53890146780D450CA4B67D938D595',2,'field 1','{"name":"field 1","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','ordered',5.5,NULL,'id-1','queued',NULL,NULL,1767225600.0,'','[]',2139144640);
INSERT INTO "entries" VALUES(3,X'22949EB5B28890A0F4AB53A9B7EF4C4629D53890146780D450CA4B67D938D595',1,'field 1','{"name":"field 1","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','ordered',5.5,NULL,'id-2','queued',NULL,NULL,1767225600.0,'','[]',2546479246);
INSERT INTO "entries" VALUES(4,X'EBAD9585BC19A16C6ACF9356923B30559FD05B25A9AF5E4C0824C7ADF7C0D497',1,'field 2','{"name":"field 2","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','sending',5.5,6.5,NULL,NULL,NULL,NULL,1767225600.0,'','[]',3288268718);
INSERT INTO "entries" VALUES(5,X'34C8EDFB6AF8F095BBFAE52D4BEC009F9D2C4A9916E040592F032B7BD3E2495B',1,'field 3','{"delivery":{"amazon_s3":{"aws_access_key_id":"<REDACTED>","aws_region":"r","aws_secret_access_key":"<REDACTED>","bucket":"b"}},"name":"field 3","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','failed',NULL,NULL,NULL,NULL,'orders.create: no quota','QuotaExceeded',1767225600.0,'','[]',4138211945);
INSERT INTO "entries" VALUES(6,X'918DBB4C6139479B767819027DB491CB223886B8DC56E408277EE7E0C06F9436',1,'field 4','{"delivery":{"amazon_s3":{"aws_access_key_id":"<REDACTED>","aws_region":"r","aws_secret_access_key":"<REDACTED>","bucket":"b"}},"name":"field 4","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','intended',NULL,NULL,NULL,NULL,NULL,NULL,1767225600.0,'','[]',713092444);
INSERT INTO "entries" VALUES(7,X'6FA0B6B736FCF65B90282D1FA037AF0E76BDA7F084F07B1D30A7BAA69023BDCD',2,'field 5','{"name":"field 5","products":[{"item_ids":["a"],"item_type":"PSScene","product_bundle":"visual"}]}','intended',NULL,NULL,NULL,NULL,NULL,NULL,1767225600.0,'','[]',526361029);
CREATE INDEX entries_by_hash ON entries (hash, job, number);
COMMIT;
PRAGMA application_id = 1347177521;
PRAGMA user_version = 1;
