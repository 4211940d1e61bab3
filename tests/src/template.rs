//! A `CloudFormation` template of ours, resolved as far as its policies and its user data need: parameters, `Ref`, `Sub`,
//! `GetAtt`. <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// A template with the values of what it refers to.
#[derive(Debug)]
pub struct Template {
    document: Yaml,
    values: BTreeMap<String, String>,
}

impl Template {
    /// A file of `packaging/cloudformation`. `values` are those of parameters beside their defaults, of pseudo parameters
    /// (`AWS::Region`), and of resources that are referred to.
    pub fn read(name: &str, values: &[(&str, &str)]) -> anyhow::Result<Self> {
        let path = crate::tests().join("../packaging/cloudformation").join(name);
        let document: Yaml = serde_yaml_ng::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        let mut template = Template { document, values: BTreeMap::new() };
        let parameters = template.document.get("Parameters").and_then(Yaml::as_mapping);
        for (name, parameter) in parameters.context("no parameters")? {
            if let (Some(name), Some(default)) = (name.as_str(), parameter.get("Default")) {
                template.values.insert(name.to_owned(), plain(default)?);
            }
        }
        template.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(template)
    }

    /// The names of all resources, whether their conditions hold or not.
    pub fn resources(&self) -> Vec<&str> {
        let resources = self.document.get("Resources").and_then(Yaml::as_mapping);
        resources.into_iter().flatten().filter_map(|(name, _)| name.as_str()).collect()
    }

    /// What a property of a resource is then: `["LaunchTemplateData", "UserData"]`, as text before it is encoded.
    pub fn property(&self, resource: &str, path: &[&str]) -> anyhow::Result<Value> {
        let full = [&["Resources", resource, "Properties"], path].concat();
        let property = full.iter().try_fold(&self.document, |value, key| value.get(*key));
        self.resolve(property.with_context(|| format!("no {}", full.join(".")))?)
    }

    fn resolve(&self, value: &Yaml) -> anyhow::Result<Value> {
        Ok(match value {
            Yaml::Tagged(tagged) => {
                let text = tagged.value.as_str().with_context(|| format!("{}: no text", tagged.tag))?;
                match tagged.tag.to_string().as_str() {
                    "!Ref" | "!GetAtt" => self.value(text)?.into(),
                    "!Sub" => self.substitute(text)?.into(),
                    tag => bail!("{tag} is not known here"),
                }
            }
            Yaml::Mapping(mapping) => {
                if let Some(encoded) = mapping.get("Fn::Base64") {
                    return self.resolve(encoded);
                }
                let mut resolved = Map::new();
                for (key, value) in mapping {
                    resolved.insert(plain(key)?, self.resolve(value)?);
                }
                resolved.into()
            }
            Yaml::Sequence(values) => {
                values.iter().map(|value| self.resolve(value)).collect::<Result<Vec<_>, _>>()?.into()
            }
            plain => serde_json::to_value(plain)?,
        })
    }

    /// `${NAME}` becomes its value, `${!NAME}` becomes `${NAME}`.
    fn substitute(&self, text: &str) -> anyhow::Result<String> {
        let mut parts = text.split("${");
        let mut substituted = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, after) = part.split_once('}').with_context(|| format!("no end: ${{{part}"))?;
            match name.strip_prefix('!') {
                Some(literal) => substituted.extend(["${", literal, "}"]),
                None => substituted.push_str(self.value(name)?),
            }
            substituted.push_str(after);
        }
        Ok(substituted)
    }

    fn value(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.values.get(name);
        value.map(String::as_str).with_context(|| format!("{name} has no value here"))
    }
}

/// A text, or what is written like one.
fn plain(value: &Yaml) -> anyhow::Result<String> {
    let text = serde_yaml_ng::to_string(value)?;
    let text = value.as_str().unwrap_or(text.trim_end());
    ensure!(!text.contains('\n') || value.is_string(), "no plain value: {text}");
    Ok(text.to_owned())
}
