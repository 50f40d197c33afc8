#!/bin/sh
# Make the secrets of docker-compose.yml, at random, where there are none yet: sh deploy/secrets.sh [scale] [monitoring]
# They lie in deploy/secrets, or where MORROW_SECRETS says; .env tells compose of them, and of the profiles to start.
set -eu
cd "$(dirname "$0")/.."
said() { sed -n "s/^$1=//p" .env 2>/dev/null || true; } # what .env has of it
folder=${MORROW_SECRETS:-$(said MORROW_SECRETS)}
folder=${folder:-./deploy/secrets}
profiles=$(said COMPOSE_PROFILES)
for word in "$@"; do
    case $word in
        scale | monitoring) ;;
        *) echo "Usage: sh deploy/secrets.sh [scale] [monitoring]" >&2; exit 2 ;;
    esac
    case ,$profiles, in
        *,"$word",*) ;;
        *) profiles=${profiles:+$profiles,}$word ;;
    esac
done

umask 077
mkdir -p "$folder"
# Nobody else gets into the folder; in a container, another user has to read the file.
chmod 0700 "$folder"

keep() { # NAME TEXT: written only once
    [ -e "$folder/$1" ] || { printf '%s\n' "$2" > "$folder/$1.new"; chmod 0444 "$folder/$1.new"; mv "$folder/$1.new" "$folder/$1"; }
}

random() { LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 40; }

keep admin_key "$(random)"
keep grafana_password "$(random)"
keep metrics_key "$(random)"
scale=
case ,$profiles, in *,scale,*) scale=yes ;; esac
if [ -n "$scale" ]; then
    keep postgres_password "$(random)"
    keep redis_conf "requirepass $(random)"
    keep store_env "MINIO_ROOT_USER=morrow
MINIO_ROOT_PASSWORD=$(random)"
    redis_password=$(sed -n 's/^requirepass //p' "$folder/redis_conf")
    keep scale.env "MORROW_DATABASE_URL=postgresql+psycopg://morrow:$(cat "$folder/postgres_password")@postgres/morrow
MORROW_BROKER_URL=redis://:$redis_password@redis:6379/0
MORROW_RATE_LIMIT_STORAGE=redis://:$redis_password@redis:6379/1
MORROW_MODELS_STORE=s3://morrow/models
MORROW_SNAPSHOTS_STORE=s3://morrow/snapshots
MORROW_S3_ENDPOINT_URL=http://store:9000
AWS_ACCESS_KEY_ID=morrow
AWS_SECRET_ACCESS_KEY=$(sed -n 's/^MINIO_ROOT_PASSWORD=//p' "$folder/store_env")
AWS_DEFAULT_REGION=us-east-1"
elif [ -e "$folder/scale.env" ]; then
    echo "$folder/scale.env is there: API and workers will look for its servers. Move it away to go back to SQLite." >&2
fi

# What else stands in .env stays, and so do the profiles that are there; to be without one, take it out by hand.
if [ -z "$(said MORROW_SECRETS)" ] || [ $# -gt 0 ]; then
    others=$(grep -v -e '^MORROW_SECRETS=' -e '^COMPOSE_PROFILES=' .env 2>/dev/null || true)
    printf 'MORROW_SECRETS=%s\nCOMPOSE_PROFILES=%s\n%s' "$folder" "$profiles" "${others:+$others
}" > .env.new
    mv .env.new .env
fi
[ -z "$scale" ] || echo "A registry in SQLite is not taken along by itself: see 'From SQLite to PostgreSQL' in docs/operations.md." >&2
echo "Secrets are in $folder; the admin key is in $folder/admin_key."
