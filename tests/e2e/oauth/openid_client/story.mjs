// Every grant and endpoint through openid-client, as its documentation has them. Reads one JSON
// object from standard input, and writes one with what the library made of the answers: no token.
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'

const given = JSON.parse(readFileSync(0, 'utf8'))
const loopback = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const told = {}

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))
const refusal = async (work) => {
  try {
    await work()
  } catch (error) {
    const challenges = error.cause?.map?.((one) => one.scheme)
    return { name: error.name, error: error.error, status: error.status, challenges }
  }
  return null
}

// A login's session belongs to a public client.
const app = await client.discovery(
  new URL(given.issuer), 'first-party', undefined, client.None(), loopback)
const refreshed = await client.refreshTokenGrant(app, given.refresh_token)
told.refresh = {
  sid: claims(refreshed.access_token).sid,
  rotated: refreshed.refresh_token !== given.refresh_token,
  type: refreshed.token_type,
  expires_in: refreshed.expiresIn(),
}

// A service, in each way in which it may show who it is.
const key = await crypto.subtle.importKey(
  'jwk', given.private_jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const ways = {
  client_secret_basic: ['orders-service', client.ClientSecretBasic(given.secret)],
  client_secret_post: ['orders-service', client.ClientSecretPost(given.secret)],
  private_key_jwt: ['signing-service', client.PrivateKeyJwt({ key, kid: given.kid })],
  'private_key_jwt without a kid': ['signing-service', client.PrivateKeyJwt(key)],
}
told.client_credentials = {}
for (const [name, [id, method]] of Object.entries(ways)) {
  const service = await client.discovery(new URL(given.issuer), id, undefined, method, loopback)
  const granted = await client.clientCredentialsGrant(service, { scope: 'orders:read' })
  told.client_credentials[name] = { scope: granted.scope, sub: claims(granted.access_token).sub }
}

// The internal listener's document names the same issuer, so it is not found by discovery.
const internal = await (await fetch(given.internal_metadata)).json()
const inside = (id, method) => {
  const made = new client.Configuration(internal, id, undefined, method)
  client.allowInsecureRequests(made)
  return made
}
told.exchange = {}
told.introspection = {}
for (const [name, [id, method]] of Object.entries(ways)) {
  const service = inside(id, method)
  const traded = await client.genericGrantRequest(
    service, 'urn:ietf:params:oauth:grant-type:token-exchange', {
      subject_token: refreshed.access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'inventory',
    })
  const { aud, sid, act } = claims(traded.access_token)
  told.exchange[name] = { aud, sid, act: act.sub, issued: traded.issued_token_type }
  const before = await client.tokenIntrospection(service, traded.access_token)
  await client.tokenRevocation(service, traded.access_token, { token_type_hint: 'access_token' })
  const after = await client.tokenIntrospection(service, traded.access_token)
  told.introspection[name] = [before.active, before.aud, after]
}
await client.tokenRevocation(inside(...ways.client_secret_basic), 'a token of nobody')

// The public client gives back what is its own, and nothing else.
const appInside = inside('first-party', client.None())
const theirs = await client.genericGrantRequest(
  inside(...ways.client_secret_basic), 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: refreshed.access_token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience: 'inventory',
  })
const notItsOwn = await refusal(() => client.tokenRevocation(appInside, theirs.access_token))
await client.tokenRevocation(appInside, refreshed.refresh_token)
told.public = {
  not_its_own: notItsOwn,
  after: await refusal(() => client.refreshTokenGrant(app, refreshed.refresh_token)),
}

const wrong = inside('orders-service', client.ClientSecretBasic('not the secret'))
told.refused = {
  reuse: await refusal(() => client.refreshTokenGrant(app, given.refresh_token)),
  client: await refusal(() => client.tokenIntrospection(wrong, refreshed.access_token)),
  target: await refusal(() => client.genericGrantRequest(
    inside(...ways.client_secret_post), 'urn:ietf:params:oauth:grant-type:token-exchange', {
      subject_token: refreshed.access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'payments',
    })),
}
console.log(JSON.stringify(told))
